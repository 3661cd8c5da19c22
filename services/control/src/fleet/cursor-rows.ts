import type { Cursor } from '@tidemark/bus';
import type { LogPosition } from '@tidemark/catalog';
import type { StateDatabase } from '../state/database.ts';

const HOLDER = 'event-publisher';

/** The cursor over the logs in the database of a host, and which of its processes publishes. */
export class CursorRows implements Cursor {
  readonly #db: StateDatabase;

  constructor(db: StateDatabase) {
    this.#db = db;
  }

  logs(iid: string): readonly string[] {
    return this.#db.read(() =>
      this.#db
        .query<{ log: string }>(
          "SELECT log FROM event_cursors WHERE log = ? OR log LIKE ? || '/%' ORDER BY log",
        )
        .all(iid, iid)
        .map(({ log }) => log),
    );
  }

  position(log: string): LogPosition | null {
    return this.#db.read(
      () =>
        this.#db
          .query<LogPosition>('SELECT seq, digest FROM event_cursors WHERE log = ?')
          .get(log) ?? null,
    );
  }

  advance(log: string, { seq, digest }: LogPosition): void {
    this.#db.write(() =>
      this.#db.run(
        'INSERT OR REPLACE INTO event_cursors (log, seq, digest) VALUES (?, ?, ?)',
        ...[log, seq, digest],
      ),
    );
  }

  /**
   * Lets one process of the host publish at a time. What was said by a clock that was ahead holds nobody up.
   * @returns Whether `holder` may, until then.
   */
  hold(holder: string, nowMs: number, untilMs: number): boolean {
    return this.#db.write(() => {
      const value = this.#db
        .query<{ value: string }>('SELECT value FROM meta WHERE name = ?')
        .get(HOLDER)?.value;
      const [other = '', until = '0'] = value?.split(' ') ?? [];
      const isHeld = Number(until) > nowMs && Number(until) - nowMs <= 2 * (untilMs - nowMs);
      if (other !== '' && other !== holder && isHeld) return false;
      const mine = `${holder} ${untilMs}`;
      this.#db.run('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)', HOLDER, mine);
      return true;
    });
  }

  /** Another process may publish at once. */
  release(holder: string): void {
    this.#db.write(() =>
      this.#db.run("DELETE FROM meta WHERE name = ? AND value LIKE ? || ' %'", HOLDER, holder),
    );
  }
}
