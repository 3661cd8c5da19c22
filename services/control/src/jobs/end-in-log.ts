import {
  instanceDigestAt,
  readInstanceLog,
  type InstanceLogSource,
  type JobEnded,
} from '@tidemark/catalog';

/** Entries before the newest one among which an end is looked for. */
const ENTRIES_MAX = 1024;
const BEGIN = { seq: -1, digest: '0'.repeat(64) } as const;

/**
 * How a job ended last, by the log of its instance up to an entry; null where that is no more there.
 * The fold of the log remembers that it ended, not how.
 * @throws StoreError; as `readInstanceLog`.
 */
export async function endInLog(
  source: InstanceLogSource,
  newest: number,
  job: string,
): Promise<Exclude<JobEnded['outcome'], 'waiting'> | null> {
  const seq = newest - ENTRIES_MAX;
  const digest = seq < 0 ? null : await instanceDigestAt(source, seq);
  if (seq >= 0 && digest === null) return null;
  const after = digest === null ? BEGIN : { seq, digest };
  let found: Exclude<JobEnded['outcome'], 'waiting'> | null = null;
  for await (const entries of readInstanceLog(source, { after })) {
    for (const { event } of entries) {
      if (event.type !== 'JobEnded' || event.job !== job || event.outcome === 'waiting') continue;
      found = event.outcome;
    }
  }
  return found;
}
