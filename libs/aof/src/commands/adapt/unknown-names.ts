import type { ArgumentColumns } from '../../decoder/command-batch.ts';

/** A command that is in no table, and where the log first has it. */
export interface UnknownName {
  /** In lower case. */
  readonly name: string;
  readonly offset: bigint;
}

const NAME_BYTES_MAX = 128;
/** A log may hold any name: of more than these each is told again when it comes again. */
const KNOWN_MAX = 10_000;

/** Gathers the names of commands that are in no table, each once. */
export class UnknownNames {
  private readonly known = new Set<string>();
  private met: UnknownName[] = [];

  /** Notes the command whose name stands in row `at`. */
  note({ data, argStart, argEnd }: ArgumentColumns, at: number, offset: () => bigint): void {
    const start = argStart[at] as number;
    const end = Math.min(argEnd[at] as number, start + NAME_BYTES_MAX);
    const name = start < 0 ? '' : data.toString('latin1', start, end).toLowerCase();
    if (this.known.has(name)) return;
    if (this.known.size >= KNOWN_MAX) this.known.clear();
    this.known.add(name);
    this.met.push({ name, offset: offset() });
  }

  take(): readonly UnknownName[] {
    if (this.met.length === 0) return this.met;
    const { met } = this;
    this.met = [];
    return met;
  }
}
