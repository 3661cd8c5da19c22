import type { NodeClient } from '@tidemark/client';
import type { Abilities } from './key-facts.ts';
import { diffStream } from './stream-facts.ts';

const FIELDS_PAGE = 500;

/** Two servers, the same database selected on both. */
export interface Pair {
  readonly a: NodeClient;
  readonly b: NodeClient;
  readonly abilities: Abilities;
}

/**
 * Compares what the digest of a value does not cover: expiries of hash fields, groups of streams,
 * values of modules.
 * @returns What differs, or null.
 */
export async function diffInner(pair: Pair, key: Buffer, type: string): Promise<string | null> {
  switch (type) {
    case 'stream':
      return diffStream(pair, key);
    case 'hash':
      return pair.abilities.fieldExpiry ? diffFieldExpiry(pair, key) : null;
    default:
      return null;
  }
}

/** A module may give no digest of its values: those are compared as they would be dumped. */
export async function diffModuleValue({ a, b }: Pair, key: Buffer): Promise<string | null> {
  const [inA, inB] = await Promise.all([a.callBuffer('DUMP', key), b.callBuffer('DUMP', key)]);
  const same = Buffer.isBuffer(inA) && Buffer.isBuffer(inB) && inA.equals(inB);
  return same ? null : 'value of a module';
}

async function diffFieldExpiry({ a, b }: Pair, key: Buffer): Promise<string | null> {
  let cursor = '0';
  do {
    const [next, page] = (await a.callBuffer(
      ...(['HSCAN', key, cursor, 'COUNT', FIELDS_PAGE] as const),
    )) as [Buffer, Buffer[]];
    cursor = next.toString();
    // Small hashes come whole, whatever COUNT says: fields are asked for in pages of our own.
    for (let start = 0; start < page.length; start += 2 * FIELDS_PAGE) {
      const fields = page.slice(start, start + 2 * FIELDS_PAGE).filter((_, i) => i % 2 === 0);
      const words = ['HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields] as const;
      const [inA, inB] = await Promise.all([a.call(...words), b.call(...words)]);
      if (JSON.stringify(inA) !== JSON.stringify(inB)) return 'expiry of hash fields';
    }
  } while (cursor !== '0');
  return null;
}
