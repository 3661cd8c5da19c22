import type { Oracle } from './oracle.ts';
import { mapKeys, withoutGroupCounters } from './recorded-seconds.ts';

const LATE_EXPIRY_MS_MAX = 50;

/**
 * What of two oracles can be held against each other when the log begins with commands, or is that of
 * a server before 7.0 or from 7.2 on: its own load of the log loses the same.
 *
 * A consumer that was never given an entry is not logged, and no command makes an entry pending that
 * the stream does not hold any more. The digest of all is left out for a server before 7.0, where
 * reading a key whose time has come deletes it; those of the keys are compared.
 */
export function comparableLog(oracle: Oracle): Oracle {
  const counted = mapKeys(withoutGroupCounters(oracle), (facts) => ({
    ...facts,
    stream: facts.stream === null ? null : withoutLostPending(facts.stream),
  }));
  return { ...counted, digest: null };
}

interface StreamFacts {
  readonly entries: readonly (readonly [id: string, ...unknown[]])[];
  readonly groups: readonly {
    readonly pending: readonly (readonly [id: string, ...unknown[]])[];
    readonly consumers: readonly {
      readonly name: string;
      readonly pending: readonly (readonly [id: string, ...unknown[]])[];
    }[];
  }[];
}

function withoutLostPending(json: string): string {
  const stream = JSON.parse(json) as StreamFacts;
  const ids = new Set(stream.entries.map(([id]) => id));
  const kept = (pending: readonly (readonly [string, ...unknown[]])[]): unknown[] =>
    pending.filter(([id]) => ids.has(id));
  const groups = stream.groups.map((group) => {
    const consumers = group.consumers
      .map(({ name, pending }) => ({ name, pending: kept(pending) }))
      .filter(({ pending }) => pending.length > 0);
    return { ...group, 'pel-count': null, pending: kept(group.pending), consumers };
  });
  return JSON.stringify({ ...stream, groups });
}

/**
 * Before 7.0 the time of an expiry is worked out once for the key and once more, later, for the log
 * (redis 6.0 src/aof.c, catAppendOnlyExpireAtCommand): a load of the log gives the later one.
 */
export function isLateExpiry(line: string): boolean {
  const [, wanted, found] = /: expiryMs (\d+) != (\d+)$/.exec(line) ?? [];
  const late = Number(found) - Number(wanted);
  return late > 0 && late <= LATE_EXPIRY_MS_MAX;
}
