import { UsageError } from '@tidemark/core';
import type { KeptHistory, SnapshotState, WireHistory } from './wire-types.ts';

/** A file of stream bytes. */
export interface StreamFile {
  readonly path: string;
  readonly replid: string;
  /** Offset of the byte before its first. */
  readonly start: bigint;
  /** Offset of its last byte on the disk. */
  end: bigint;
  /** Bytes of the file that are whole frames. */
  size: number;
}

/** A history of which something is here. */
export interface HistoryEntry {
  readonly seq: number;
  readonly ino: string;
  readonly snapshotOffset: bigint | null;
  /** Replication id at its full resync, or where it was joined. */
  readonly replid: string;
  snapshot: { readonly path: string; size: number; state: SnapshotState } | null;
  /** In order, each beginning where the one before ends. */
  readonly files: StreamFile[];
}

/** What lies in the folder of a wire spool, in order. */
export class WireLedger {
  readonly #histories: HistoryEntry[] = [];
  #asideBytes = 0;

  /** All that have begun, oldest first; the last one may still lack its snapshot. */
  get histories(): readonly HistoryEntry[] {
    return this.#histories;
  }

  /** The newest one that can be gone on with. */
  get open(): HistoryEntry | null {
    return this.#histories.findLast((entry) => !isPartial(entry)) ?? null;
  }

  /** Sealed bytes of everything. */
  get bytes(): number {
    let sum = this.#asideBytes;
    for (const { snapshot, files } of this.#histories) {
      sum += snapshot?.size ?? 0;
      for (const { size } of files) sum += size;
    }
    return sum;
  }

  countAside(bytes: number): void {
    this.#asideBytes += bytes;
  }

  add(entry: HistoryEntry): void {
    this.#histories.push(entry);
  }

  find(ino: string): HistoryEntry | null {
    return this.#histories.find((entry) => entry.ino === ino) ?? null;
  }

  remove(entry: HistoryEntry): void {
    const place = this.#histories.indexOf(entry);
    if (place >= 0) this.#histories.splice(place, 1);
  }
}

/** Whether its snapshot is still under way, so that nothing of it counts. */
export function isPartial(entry: HistoryEntry): boolean {
  return entry.snapshot?.state === 'partial';
}

/** Replication id at the end of what is here. */
export function replidOf(entry: HistoryEntry): string {
  return entry.files.at(-1)?.replid ?? entry.replid;
}

/** The stream bytes that lie on the disk. */
export function rangeOf(entry: HistoryEntry): { readonly from: bigint; readonly to: bigint } {
  const none = entry.snapshotOffset ?? 0n;
  return { from: entry.files[0]?.start ?? none, to: entry.files.at(-1)?.end ?? none };
}

/** What of an entry is here. */
export function keptOf(entry: HistoryEntry): KeptHistory {
  const { from, to } = rangeOf(entry);
  const ids = entry.files.map(({ replid, start }) => ({ replid, start }));
  if (ids.length === 0) ids.push({ replid: entry.replid, start: from });
  return { from, to, snapshot: entry.snapshot?.state ?? 'none', ids };
}

/** An entry as the outside sees it. */
export function historyOf(entry: HistoryEntry, replid: string): WireHistory {
  const { seq, ino, snapshotOffset } = entry;
  return { seq, ino, replid, snapshotOffset };
}

/** What may not be joined in the middle. */
export function notNewest(ino: string): UsageError {
  return new UsageError('TM_USAGE', 'the wire spool holds bytes after the place to be joined', {
    context: { ino },
  });
}
