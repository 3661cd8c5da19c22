import { SPEC_EXEC, SPEC_MULTI, SPEC_SELECT } from '../commands/command-table.ts';

const ZERO = 0x30;
/** Most digits of a database number. */
const DB_DIGITS_MAX = 9;

/** What the commands so far leave for the next ones. */
export class StreamState {
  db: number;
  inMulti: boolean;
  /** End of the last whole command outside MULTI, relative to the batch's base; -1 = none yet. */
  boundary = -1;

  constructor(db: number, inMulti: boolean) {
    this.db = db;
    this.inMulti = inMulti;
  }

  /**
   * Takes SELECT, MULTI or EXEC (or any other command, without effect).
   *
   * `data[start..end)` is the only argument after the name; `start` is -1 if there is not just one.
   * A SELECT that a server would refuse leaves the database as it is there, and so here.
   * @returns Whether the command itself counts as inside MULTI.
   */
  apply(spec: number, data: Uint8Array, start: number, end: number): boolean {
    if (spec === SPEC_SELECT) {
      this.select(data, start, end);
      return this.inMulti;
    }
    if (spec === SPEC_MULTI) {
      this.inMulti = true;
      return true;
    }
    if (spec === SPEC_EXEC) {
      this.inMulti = false;
      return true;
    }
    return this.inMulti;
  }

  private select(data: Uint8Array, start: number, end: number): void {
    if (start < 0 || end <= start || end - start > DB_DIGITS_MAX) return;
    let db = 0;
    for (let at = start; at < end; at += 1) {
      const digit = (data[at] as number) - ZERO;
      if (digit < 0 || digit > 9) return;
      db = db * 10 + digit;
    }
    this.db = db;
  }
}
