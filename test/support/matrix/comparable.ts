import type { KeyFacts, Oracle } from '../oracle.ts';
import { mapKeys, withoutGroupCounters } from '../recorded-seconds.ts';
import type { Capabilities } from './matrix-server.ts';

/** What XINFO STREAM tells from 7.0 on only; loading a stream of 6.0 computes it. */
const STREAM_FACTS_FROM_7 = [
  'max-deleted-entry-id',
  'entries-added',
  'recorded-first-entry-id',
  'entries-read',
  'lag',
];
/** What it tells of producers from Redis 8.6 on only. */
const STREAM_FACTS_OF_PRODUCERS = [
  'idmp-duration',
  'idmp-maxsize',
  'pids-tracked',
  'iids-tracked',
  'iids-added',
  'iids-duplicates',
];

/**
 * What of two oracles can be held against each other, given what the two servers tell: everything,
 * but
 * - counters of groups where the source does not log them (docs/promises.md);
 * - consumers without pending entries where the source does not log that a read has made them;
 * - facts of streams that one of the two does not tell;
 * - digests of sorted sets where one takes scores in another form, and of hashes where field expiries
 *   are at play and one is a Valkey: it leaves expiries out of them, and fields whose time has come.
 *   Then members, scores, fields, values and expiries are compared one by one, and DEBUG DIGEST of
 *   the whole dataset, which is made of them, is not.
 */
export function comparableOf(
  source: Capabilities,
  target: Capabilities,
  withFieldExpiry: boolean,
): (oracle: Oracle) => Oracle {
  const untold = new Set([
    ...(source.version < 7_00_00 || target.version < 7_00_00 ? STREAM_FACTS_FROM_7 : []),
    ...(source.idempotentStreams && target.idempotentStreams ? [] : STREAM_FACTS_OF_PRODUCERS),
  ]);
  const bothRedis = source.product === 'redis' && target.product === 'redis';
  const undigested = new Set([
    ...(withFieldExpiry && !bothRedis ? ['hash'] : []),
    ...(source.shortScores === target.shortScores ? [] : ['zset']),
  ]);
  return (oracle) => {
    const counted = source.groupCounters ? oracle : withoutGroupCounters(oracle);
    const told = mapKeys(counted, (facts) => ({
      ...facts,
      stream: facts.stream === null ? null : toldOf(facts.stream, untold, source.logsConsumers),
      digest: undigested.has(facts.type) ? null : facts.digest,
      // They are part of `fields`, which are read of every server.
      fieldExpiry: null,
    }));
    return undigested.size === 0 ? told : { ...told, digest: null };
  };
}

function toldOf(json: string, untold: ReadonlySet<string>, allConsumers: boolean): string {
  return JSON.stringify(
    JSON.parse(json, (name: string, value: unknown) => {
      if (untold.has(name)) return undefined;
      if (name !== 'consumers' || allConsumers) return value;
      return (value as { readonly 'pel-count': number }[]).filter((one) => one['pel-count'] > 0);
    }),
  );
}

/** How much an oracle holds, so that a comparison of nothing does not pass for one. */
export function countFacts(oracle: Oracle): { keys: number; types: number; databases: number } {
  const all = [...oracle.databases.values()].flatMap(({ keys }): KeyFacts[] => [...keys.values()]);
  return {
    keys: all.length,
    types: new Set(all.map(({ type }) => type)).size,
    databases: oracle.databases.size,
  };
}
