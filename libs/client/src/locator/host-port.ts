import { isIP, isIPv6 } from 'node:net';

/** A place on the network. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const PORT_MAX = 65_535;

/** The place that two words name, or null: replies of servers are not to be trusted blindly. */
export function hostPortOf(host: unknown, port: unknown): HostPort | null {
  if (typeof host !== 'string' || host === '' || host.length > 253) return null;
  const number = typeof port === 'number' ? port : Number(port);
  if (!Number.isInteger(number) || number < 1 || number > PORT_MAX) return null;
  return { host, port: number };
}

/** One text for each place, to compare and to show. */
export function placeName({ host, port }: HostPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host.toLowerCase()}:${port}`;
}

/** Whether two names can be the same place: a host name may stand for any IP address. */
export function mayBeSame(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port) return false;
  return isIP(a.host) === 0 || isIP(b.host) === 0 || placeName(a) === placeName(b);
}
