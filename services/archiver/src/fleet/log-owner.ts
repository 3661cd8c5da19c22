import { OWNER_HEARTBEATS, type CatalogWriter } from '@tidemark/catalog';

/** An owner shows life every 20 s, unless its configuration says otherwise. */
const HEARTBEAT_MS = 20_000;

/** Who captures an instance, as its logs say. */
export interface LogOwner {
  /** Id of the spool of a host. */
  readonly id: string;
  /** Number of its claim. */
  readonly generation: number;
  readonly source: 'aof' | 'psync';
  /** Its last entry, Unix milliseconds. */
  readonly lastEntryMs: number;
  /** `released`: it ended in good order, and nobody has claimed the log since; `gone`: it shows no life. */
  readonly state: 'alive' | 'released' | 'gone';
}

/**
 * The owner of the log that was written to last.
 * @param writers - Those of one instance.
 * @returns Null when no log was ever claimed.
 */
export function ownerOf(writers: readonly CatalogWriter[], nowMs: number): LogOwner | null {
  let latest: LogOwner | null = null;
  for (const { source, state } of writers) {
    const { owner, lastEntryMs } = state;
    if (owner === null || lastEntryMs === null) continue;
    if (latest !== null && latest.lastEntryMs >= lastEntryMs) continue;
    const isSilent = nowMs - lastEntryMs >= OWNER_HEARTBEATS * HEARTBEAT_MS;
    const { ownerId: id, generation } = owner;
    const alive = isSilent ? 'gone' : 'alive';
    latest = { id, generation, source, lastEntryMs, state: owner.released ? 'released' : alive };
  }
  return latest;
}
