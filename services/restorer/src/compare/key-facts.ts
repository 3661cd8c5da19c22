import type { NodeClient } from '@tidemark/client';

/** What is compared of one key before its inner parts. */
export interface KeyFacts {
  readonly type: string;
  /** Unix milliseconds; -1 = none. */
  readonly expiryMs: number;
  /** `DEBUG DIGEST-VALUE`: independent of the encoding and of the order in sets and hashes. */
  readonly digest: string;
}

/** What a server can be asked. */
export interface Abilities {
  readonly fieldExpiry: boolean;
  readonly functions: boolean;
}

/** Types of the server itself; any other is a module's. */
export const OWN_TYPES: ReadonlySet<string> = new Set([
  'string',
  'list',
  'set',
  'zset',
  'hash',
  'stream',
]);

/** Looks which of the commands that a comparison uses are there. */
export async function readAbilities(client: NodeClient): Promise<Abilities> {
  const names = ['HPEXPIRETIME', 'FUNCTION'];
  const reply = (await client.call('COMMAND', 'INFO', ...names)) as readonly unknown[];
  const [fieldExpiry = false, functions = false] = reply.map((entry) => Array.isArray(entry));
  return { fieldExpiry, functions };
}

/**
 * Reads the facts of some keys of the selected database, in one write.
 * @returns Null for a key that is not there, or expired.
 * @throws NodeError when the server refuses: DEBUG must be allowed.
 */
export async function readKeyFacts(
  client: NodeClient,
  keys: readonly Buffer[],
): Promise<readonly (KeyFacts | null)[]> {
  const replies = await client.pipeline([
    ...keys.flatMap((key) => [
      ['TYPE', key],
      ['PEXPIRETIME', key],
    ]),
    ['DEBUG', 'DIGEST-VALUE', ...keys],
  ]);
  for (const reply of replies) if (reply instanceof Error) throw reply;
  const digests = replies.at(-1) as readonly string[];
  return keys.map((_, i) => {
    const type = String(replies[2 * i]);
    if (type === 'none') return null;
    return { type, expiryMs: Number(replies[2 * i + 1]), digest: digests[i] ?? '' };
  });
}

/** The keys of the selected database, in pages; a key may come twice. */
export async function* scanKeys(client: NodeClient, count: number): AsyncGenerator<Buffer[]> {
  let cursor = '0';
  do {
    const [next, page] = (await client.callBuffer('SCAN', cursor, 'COUNT', count)) as [
      Buffer,
      Buffer[],
    ];
    cursor = next.toString();
    if (page.length > 0) yield page;
  } while (cursor !== '0');
}

/** How many keys each database holds, expired ones that are still there included. */
export async function databaseSizes(client: NodeClient): Promise<ReadonlyMap<number, number>> {
  const info = await client.info('keyspace');
  return new Map(
    info
      .names(/^db\d+$/)
      .map((name) => [Number(name.slice(2)), Number(info.fields(name)['keys'] ?? 0)]),
  );
}
