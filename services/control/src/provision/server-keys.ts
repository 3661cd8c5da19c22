import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { parseNodeUrl } from '@tidemark/client';
import { lookUp, type Resolve } from './allowed-targets.ts';
import { isLoopback, plainIp } from './ip-rules.ts';

/** Addresses of one name that tell its server. */
const ADDRESSES_MAX = 16;

/**
 * Tells the server that a job writes into, whatever it is spelled like: two jobs with a key in common would
 * write into one server. A name gives a key for each of its addresses; all addresses of this host are one.
 * @param url - `redis://[USER@]HOST[:PORT]` or `rediss://…`.
 * @throws UsageError `TM_USAGE` for no address.
 */
export async function serverKeys(
  url: string,
  resolve: Resolve = lookUp,
): Promise<readonly string[]> {
  const { host, port, path } = parseNodeUrl(url);
  if (path !== undefined) return [`target:${path}`];
  const found = isIP(host) === 0 ? (await resolve(host)).slice(0, ADDRESSES_MAX) : [host];
  // A name that leads nowhere now is told by itself.
  const places = found.length === 0 ? [host.toLowerCase()] : found.map(placeOf);
  return [...new Set(places)].map((place) => `target:${place}:${port.toString()}`);
}

function placeOf(ip: string): string {
  const plain = plainIp(ip);
  const place = isIP(plain) === 6 ? new URL(`http://[${plain}]`).hostname : plain;
  const own = Object.values(networkInterfaces()).flat();
  const isOwn = own.some((each) => each !== undefined && plainIp(each.address) === plain);
  return isOwn || isLoopback(plain) || place === '[::1]' ? 'this-host' : place;
}
