import type { Cursor } from '@tidemark/bus';
import type { LogPosition } from '@tidemark/catalog';

/** A cursor that dies with its test. */
export class MemoryCursor implements Cursor {
  readonly positions = new Map<string, LogPosition>();

  logs(iid: string): readonly string[] {
    return [...this.positions.keys()].filter((log) => log === iid || log.startsWith(`${iid}/`));
  }

  position(log: string): LogPosition | null {
    return this.positions.get(log) ?? null;
  }

  advance(log: string, position: LogPosition): void {
    this.positions.set(log, position);
  }
}
