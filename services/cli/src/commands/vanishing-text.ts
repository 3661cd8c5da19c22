import type { Vanishing } from '@tidemark/restorer';

const SHOWN_MAX = 3;

/**
 * One line on keys whose expiry has passed, or none when there are none.
 * @param when - What becomes of them: `go now`.
 * @param ttl - The TTL choice, as it is written; null = no advice is given.
 */
export function vanishingText(
  { count, bound, sample }: Vanishing,
  when: string,
  ttl: string | null,
): string[] {
  if (bound === 'unknown' && count === 0) {
    return [`whether keys have an expiry that has passed cannot be told; such keys ${when}`];
  }
  if (count === 0) return [];
  const some = sample.slice(0, SHOWN_MAX).join(', ');
  const names = some === '' ? '' : ` (${some}${count > SHOWN_MAX ? ', …' : ''})`;
  const number = { exact: '', atMost: 'up to ', unknown: 'about ' }[bound] + count.toString();
  const have = bound === 'exact' && count === 1 ? 'key has' : 'keys have';
  return [`${number} ${have} an expiry that has passed and ${when}${names}${adviceOf(ttl)}`];
}

/** In the other modes only what had expired by the wanted second has one that has passed. */
function adviceOf(ttl: string | null): string {
  if (ttl === null) return '';
  return ttl === 'remaining' || ttl === 'persist'
    ? ': they had expired by then'
    : '; keep such keys with --ttl remaining';
}
