import { UsageError } from '@tidemark/core';
import { hostPortOf, placeName, type HostPort } from './host-port.ts';
import { percentDecode } from '../percent-decode.ts';

/** What `redis+sentinel://` and `rediss+sentinel://` name. */
export interface SentinelUrl {
  /** TLS to the Sentinels and to the nodes. */
  readonly tls: boolean;
  /** In the order in which they are tried. */
  readonly sentinels: readonly HostPort[];
  /** The name under which the Sentinels watch the primary. */
  readonly master: string;
  /** ACL user of the nodes, not of the Sentinels. */
  readonly username?: string;
}

const DEFAULT_PORT = 26_379;
const SENTINELS_MAX = 16;
const SCHEME = /^(rediss?)\+sentinel:\/\//i;
/** What Sentinel itself takes for a name. */
const MASTER_NAME = /^[A-Za-z0-9._-]{1,128}$/;

/** Whether an address is one of a set of Sentinels. */
export function isSentinelUrl(url: string): boolean {
  return SCHEME.test(url);
}

/**
 * Reads `redis+sentinel://[USER@]HOST[:PORT][,HOST[:PORT]…]/MASTER` (port 26379 by default), or the
 * same with `rediss+sentinel://`.
 *
 * @throws UsageError `TM_USAGE` for anything else; a password in the address is refused. The address
 *   is never repeated in the error.
 */
export function parseSentinelUrl(url: string): SentinelUrl {
  const scheme = SCHEME.exec(url);
  if (scheme === null) throw refused('is not of a kind that is known');
  const rest = url.slice(scheme[0].length);
  if (/[?#]/.test(rest)) throw refused('ends in something unknown');
  const slash = rest.indexOf('/');
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const at = authority.lastIndexOf('@');
  const user = at < 0 ? '' : authority.slice(0, at);
  if (user.includes(':')) {
    throw refused(
      'holds a password',
      'put it into a file and name that: --pass-file FILE for the nodes, --sentinel-pass-file FILE for the Sentinels',
    );
  }
  const sentinels = sentinelsOf(authority.slice(at + 1));
  const master = percentDecode(slash < 0 ? '' : rest.slice(slash + 1).replace(/\/$/, ''), refused);
  if (master === '') {
    throw refused('names no primary', 'end it in the name after "sentinel monitor": …/MASTER');
  }
  if (!MASTER_NAME.test(master)) {
    throw refused('names a primary as no Sentinel does', 'letters, digits, ".", "-" and "_"');
  }
  return {
    tls: scheme[1]?.toLowerCase() === 'rediss',
    sentinels,
    master,
    ...(user === '' ? {} : { username: percentDecode(user, refused) }),
  };
}

function sentinelsOf(text: string): HostPort[] {
  const words = text.split(',');
  if (words.length > SENTINELS_MAX) {
    throw refused('names too many Sentinels', `name at most ${SENTINELS_MAX}; the rest is learned`);
  }
  const found = new Map<string, HostPort>();
  for (const word of words) {
    const place = sentinelOf(word);
    found.set(placeName(place), place);
  }
  return [...found.values()];
}

function sentinelOf(word: string): HostPort {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]@/\s\\]+))(?::(\d{1,5}))?$/.exec(word) ?? [];
  const host = bracketed ?? (plain === undefined ? undefined : percentDecode(plain, refused));
  if (host === undefined || host === '') throw refused('names no Sentinel where one should be');
  const place = hostPortOf(host, port ?? DEFAULT_PORT);
  if (place === null) throw refused('names a port that cannot be');
  return place;
}

function refused(
  why: string,
  hint = 'write redis+sentinel://[USER@]HOST:PORT,HOST:PORT/MASTER',
): UsageError {
  return new UsageError('TM_USAGE', `the address of a Sentinel set ${why}`, { hint });
}
