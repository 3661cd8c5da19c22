import type { NodeClient } from '@tidemark/client';

/** One database of the target. */
export interface DatabaseCount {
  readonly db: number;
  /** Keys there, expired ones included. */
  readonly keys: number;
  /** Keys with an expiry. */
  readonly expires: number;
  /**
   * Keys whose expiry has passed: they go once the target is promoted. `null` = not counted, the
   * database is too large to be walked through.
   */
  readonly vanishing: number | null;
}

const SCAN_COUNT = 5000;
const SCANNED_KEYS_MAX = 20_000_000;
const PROBE_BATCH = 500;

/**
 * Counts the keys of a replica that nobody writes to.
 *
 * A replica deletes nothing by itself: an expired key counts in DBSIZE and is left out by SCAN. The
 * difference is exact unless a table shrinks under the walk, which can only make it smaller. The
 * walk takes about as long as a fifth of the load; with candidates only those are asked for.
 * @param candidates - Keys among which every expired one is, by database; null when not known.
 */
export async function countKeys(
  client: NodeClient,
  candidates: ReadonlyMap<number, readonly Buffer[]> | null = null,
): Promise<readonly DatabaseCount[]> {
  const info = await client.info('keyspace');
  const counts: DatabaseCount[] = [];
  for (const name of info.names(/^db\d+$/)) {
    const { keys = '0', expires = '0' } = info.fields(name);
    const found = { db: Number(name.slice(2)), keys: Number(keys), expires: Number(expires) };
    const vanishing =
      candidates === null
        ? await countVanishing(client, found)
        : (await findVanishing(client, found.db, candidates.get(found.db) ?? [])).length;
    counts.push({ ...found, vanishing });
  }
  return counts;
}

async function countVanishing(
  client: NodeClient,
  found: { readonly db: number; readonly keys: number; readonly expires: number },
): Promise<number | null> {
  if (found.expires === 0) return 0;
  if (found.keys > SCANNED_KEYS_MAX) return null;
  await client.call('SELECT', found.db);
  let cursor = '0';
  let alive = 0;
  try {
    do {
      const [next, page] = (await client.callBuffer('SCAN', cursor, 'COUNT', SCAN_COUNT)) as [
        Buffer,
        readonly Buffer[],
      ];
      cursor = next.toString();
      alive += page.length;
    } while (cursor !== '0');
  } finally {
    await client.call('SELECT', 0);
  }
  return Math.max(0, found.keys - alive);
}

/**
 * Which of some keys are there and expired: EXISTS says no, MEMORY USAGE still answers.
 * @param candidates - Keys that had an expiry in the past.
 */
export async function findVanishing(
  client: NodeClient,
  db: number,
  candidates: readonly Buffer[],
): Promise<readonly Buffer[]> {
  if (candidates.length === 0) return [];
  const vanishing: Buffer[] = [];
  await client.call('SELECT', db);
  try {
    for (let start = 0; start < candidates.length; start += PROBE_BATCH) {
      const keys = candidates.slice(start, start + PROBE_BATCH);
      const replies = await client.pipeline(
        keys.flatMap((key) => [
          ['EXISTS', key],
          ['MEMORY', 'USAGE', key, 'SAMPLES', 1],
        ]),
      );
      for (const [i, key] of keys.entries()) {
        if (replies[2 * i] === 0 && typeof replies[2 * i + 1] === 'number') vanishing.push(key);
      }
    }
  } finally {
    await client.call('SELECT', 0);
  }
  return vanishing;
}
