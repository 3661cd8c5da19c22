import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import type { Selector } from '@tidemark/selector';

const SCAN_COUNT = 2_000;
const WRITABLE = 'replica-read-only';

/** What of a target stays. */
export interface TrimOptions {
  readonly selector: Selector;
  readonly keepFunctions: boolean;
  /** Keys go that only their type leaves out. */
  readonly byType: boolean;
  /** Keys whose expiry may have passed, by database; default: none is known. */
  readonly expired?: ReadonlyMap<number, readonly Buffer[]>;
}

/**
 * Takes away what came along and is not selected. The target is a replica that nobody feeds any more;
 * it takes our writes for this moment. Keys whose expiry has passed are not seen by SCAN, though a
 * deletion takes them: those that are not named in `expired` go by themselves at the promotion.
 * @returns How many keys were taken away.
 */
export async function trimTarget(client: NodeClient, options: TrimOptions): Promise<number> {
  const info = await client.info('keyspace');
  const databases = info.names(/^db\d+$/).map((name) => Number(name.slice(2)));
  await client.configSet(WRITABLE, 'no');
  try {
    let removed = 0;
    for (const db of databases) {
      removed += await trimDatabase(client, db, options);
      removed += await removeForeign(client, options.expired?.get(db) ?? [], (key) =>
        options.selector.matches(db, key),
      );
    }
    if (!options.keepFunctions) await flushFunctions(client);
    return removed;
  } finally {
    await client.call('SELECT', 0);
    await client.configSet(WRITABLE, 'yes');
  }
}

async function trimDatabase(
  client: NodeClient,
  db: number,
  { selector, byType }: TrimOptions,
): Promise<number> {
  await client.call('SELECT', db);
  if (!selector.matchesDb(db)) {
    const keys = Number(await client.call('DBSIZE'));
    await client.call('FLUSHDB');
    return keys;
  }
  let cursor = '0';
  let removed = 0;
  do {
    const [next, page] = (await client.callBuffer('SCAN', cursor, 'COUNT', SCAN_COUNT)) as [
      Buffer,
      readonly Buffer[],
    ];
    cursor = next.toString();
    const foreign = page.filter((key) => !selector.matches(db, key));
    if (byType && selector.hasTypes) {
      const named = page.filter((key) => selector.matches(db, key));
      foreign.push(...(await ofOtherTypes(client, named, selector)));
    }
    if (foreign.length > 0) removed += Number(await client.call('UNLINK', ...foreign));
  } while (cursor !== '0');
  return removed;
}

/** The database is selected on the connection. */
async function removeForeign(
  client: NodeClient,
  keys: readonly Buffer[],
  isSelected: (key: Buffer) => boolean,
): Promise<number> {
  const foreign = keys.filter((key) => !isSelected(key));
  let removed = 0;
  for (let start = 0; start < foreign.length; start += SCAN_COUNT) {
    removed += Number(await client.call('UNLINK', ...foreign.slice(start, start + SCAN_COUNT)));
  }
  return removed;
}

async function ofOtherTypes(
  client: NodeClient,
  keys: readonly Buffer[],
  selector: Selector,
): Promise<readonly Buffer[]> {
  const types = await client.pipeline(keys.map((key) => ['TYPE', key]));
  return keys.filter((_, at) => !selector.matchesType(String(types[at])));
}

/** Servers before 7.0 have none. */
async function flushFunctions(client: NodeClient): Promise<void> {
  try {
    await client.call('FUNCTION', 'FLUSH');
  } catch (error) {
    if (!(error instanceof NodeError) || error.code !== 'TM_NODE_REPLY') throw error;
  }
}
