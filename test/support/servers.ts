import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';

/** Who makes a server. */
export type ServerProduct = 'redis' | 'valkey';

/** A server program that can be started on this machine. */
export interface ServerBinary {
  readonly product: ServerProduct;
  /** E.g. `8.0.6`. */
  readonly version: string;
  /** Product and release line, e.g. `redis 8.0`. */
  readonly name: string;
  /** Path, or name on the PATH, for `startRedis({ binary })`. */
  readonly binary: string;
  readonly checkRdb: string;
  readonly checkAof: string;
}

/** What scripts/install-servers.sh has put there. */
const CACHE = fileURLToPath(new URL('../../.cache/servers', import.meta.url));
const PRODUCTS: readonly ServerProduct[] = ['redis', 'valkey'];

let found: readonly ServerBinary[] | null = null;

/**
 * Every server that can be had, one of each release line (the newest of it), by product and version:
 * those of the PATH and those that `make servers` has put under `.cache/servers`. A line that the
 * PATH has is taken from there.
 */
export function serverBinaries(): readonly ServerBinary[] {
  found ??= findAll();
  return found;
}

function findAll(): readonly ServerBinary[] {
  const lines = new Map<string, ServerBinary>();
  for (const server of cachedServers()) {
    const known = lines.get(server.name);
    if (known === undefined || compareVersions(known.version, server.version) < 0) {
      lines.set(server.name, server);
    }
  }
  for (const product of PRODUCTS) {
    const server = serverOnPath(product);
    if (server !== null) lines.set(server.name, server);
  }
  return [...lines.values()].sort(
    (a, b) => compareStrings(a.product, b.product) || compareVersions(a.version, b.version),
  );
}

function cachedServers(): ServerBinary[] {
  const servers: ServerBinary[] = [];
  for (const folder of existsSync(CACHE) ? readdirSync(CACHE) : []) {
    const path = join(CACHE, folder, 'versions');
    if (!existsSync(path)) continue;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      const server = fromVersionLine(line, join(CACHE, folder, 'bin'));
      if (server !== null) servers.push(server);
    }
  }
  return servers;
}

function serverOnPath(product: ServerProduct): ServerBinary | null {
  try {
    return fromVersionLine(execFileSync(`${product}-server`, ['--version']).toString(), '');
  } catch {
    return null; // not on the PATH
  }
}

/** Reads e.g. `Redis server v=8.0.6 sha=…`, as `redis-server --version` says it. */
function fromVersionLine(line: string, folder: string): ServerBinary | null {
  const [, maker = '', version = ''] = /^(Redis|Valkey) server v=(\d+\.\d+\.\d+)/.exec(line) ?? [];
  const product = PRODUCTS.find((known) => known === maker.toLowerCase());
  if (product === undefined) return null;
  const program = (name: string): string => join(folder, `${product}-${name}`);
  return {
    product,
    version,
    name: `${product} ${version.split('.').slice(0, 2).join('.')}`,
    binary: program('server'),
    checkRdb: program('check-rdb'),
    checkAof: program('check-aof'),
  };
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The server of a release line, e.g. `findServer('redis', '8.0')`; null where it cannot be had. */
export function findServer(product: ServerProduct, line: string): ServerBinary | null {
  return serverBinaries().find(({ name }) => name === `${product} ${line}`) ?? null;
}

/** The newest server of a product; null where there is none. */
export function newestServer(product: ServerProduct): ServerBinary | null {
  return serverBinaries().findLast((server) => server.product === product) ?? null;
}

/** Why a server is not there, in one line. */
export function whyMissing(product: ServerProduct, line: string): string {
  const told = (existsSync(CACHE) ? readdirSync(CACHE) : [])
    .map((folder) => join(CACHE, folder, 'unavailable'))
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, 'utf8').trim());
  const why = told.length > 0 ? told.join('; ') : 'run `make servers`';
  return `${product} ${line} is not on this machine (${why})`;
}

/** True when a test whose server is missing has to fail (`TIDEMARK_REQUIRE=all`). */
export function serversRequired(): boolean {
  return process.env.TIDEMARK_REQUIRE === 'all';
}

/**
 * A group of tests on the server of a release line. Where it cannot be had, one test stands for the
 * group: skipped, with the reason in its name, or failed when `TIDEMARK_REQUIRE=all`.
 *
 * @example
 * ```ts
 * describeWithServer('redis', '8.0', 'field expiries', (server) => {
 *   it('…', async () => {
 *     await using node = await startRedis({ binary: server.binary });
 *   });
 * });
 * ```
 */
export function describeWithServer(
  product: ServerProduct,
  line: string,
  name: string,
  tests: (server: ServerBinary) => void,
): void {
  const server = findServer(product, line);
  if (server !== null) {
    describe(`${name} (${server.product} ${server.version})`, () => {
      tests(server);
    });
    return;
  }
  const reason = whyMissing(product, line);
  it.skipIf(!serversRequired())(`${name}: ${reason}`, () => {
    throw new Error(reason);
  });
}
