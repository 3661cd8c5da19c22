import { isIPv6 } from 'node:net';
import { UsageError } from '@tidemark/core';
import type { NodeTls } from './tls/node-tls.ts';
import { percentDecode } from './percent-decode.ts';

/** How to reach a server and who to be there. */
export interface NodeAddress {
  /** Name or IP address; 'localhost' when `path` is set. */
  readonly host: string;
  readonly port: number;
  /** Unix socket; then host and port are not used. */
  readonly path?: string;
  /** ACL user; the default user when absent. */
  readonly username?: string;
  readonly password?: string;
  /** TLS was asked for (`rediss://`): without `tls` nothing is connected to, rather than plain. */
  readonly secure?: true;
  /**
   * What the connection is secured with. A live object: an address that holds one is not written
   * down and not handed to another process.
   */
  readonly tls?: NodeTls;
}

const DEFAULT_PORT = 6379;

/**
 * Reads `redis://[USER@]HOST[:PORT]` (port 6379 by default), `rediss://…` (the same with TLS) or
 * `unix://[USER@]/PATH`. An address of `rediss://` is `secure`; whoever connects adds its `tls`.
 *
 * @throws UsageError `TM_USAGE` for anything else; a password in the address is refused, because
 *   addresses are shown in lists and logs. The address is never repeated in the error.
 */
export function parseNodeUrl(url: string): NodeAddress {
  // The rules of URLs know no user without a host.
  const [, socketUser, socketPath] = /^unix:\/\/([^@/]+)@(\/.*)$/i.exec(url) ?? [];
  let parts: URL;
  try {
    parts = new URL(socketPath === undefined ? url : `unix://${socketPath}`);
  } catch {
    throw refused('is not an address');
  }
  if (parts.password !== '' || socketUser?.includes(':') === true) {
    throw refused(
      'holds a password',
      'put the password into a file and name it: --pass-file FILE, or password_file in tidemark.toml',
    );
  }
  if (parts.search !== '' || parts.hash !== '') throw refused('ends in something unknown');
  const named = socketUser ?? parts.username;
  const user = named === '' ? {} : { username: percentDecode(named, refused) };
  if (parts.protocol === 'unix:') {
    const path = percentDecode(parts.pathname, refused);
    if (parts.host !== '' || path.length < 2 || path.includes('\0')) {
      throw refused('names no socket', 'write unix:///path/to/socket');
    }
    return { host: 'localhost', port: DEFAULT_PORT, path, ...user };
  }
  const secure = parts.protocol === 'rediss:' ? { secure: true as const } : {};
  if (!/^rediss?:$/.test(parts.protocol)) throw refused('is not of a kind that is known');
  if (parts.hostname === '') throw refused('names no host');
  if (parts.pathname !== '' && parts.pathname !== '/') {
    throw refused('names a database', 'an instance is always taken whole; leave the path away');
  }
  const host = percentDecode(parts.hostname.replace(/^\[(.*)\]$/, '$1'), refused);
  const port = parts.port === '' ? DEFAULT_PORT : Number(parts.port);
  if (port === 0) throw refused('names port 0');
  return { host, port, ...user, ...secure };
}

/** The address without user and password, for messages. */
export function describeAddress(address: NodeAddress): string {
  if (address.path !== undefined) return `unix://${address.path}`;
  const host = isIPv6(address.host) ? `[${address.host}]` : address.host;
  const scheme = address.secure === true || address.tls !== undefined ? 'rediss' : 'redis';
  return `${scheme}://${host}:${address.port}`;
}

function refused(
  why: string,
  hint = 'write redis://[USER@]HOST:PORT, rediss:// for TLS, or unix:///PATH',
): UsageError {
  return new UsageError('TM_USAGE', `the address of a server ${why}`, { hint });
}
