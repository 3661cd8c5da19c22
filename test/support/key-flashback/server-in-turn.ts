import { it } from 'vitest';
import { serverBinaries, serversRequired, type ServerBinary } from '../servers.ts';
import type { DependencyOptions } from '../workload/dependency-workload.ts';

/** A server after Redis 7.0, and what of the workload it knows. */
export interface NewerServer {
  readonly server: ServerBinary;
  readonly fields: boolean;
  readonly newest: NonNullable<DependencyOptions['newest']>;
}

/**
 * Tests on one of the servers after Redis 7.0, which one is up to the seed: over many runs each has
 * its turn. Where there is none, one test says so: skipped, or failed when `TIDEMARK_REQUIRE=all`.
 */
export function onServerInTurn(seed: number, tests: (newer: NewerServer) => void): void {
  const newer = serverBinaries().filter(({ version }) => release(version) > 7);
  const server = newer[seed % newer.length];
  if (server !== undefined) {
    const fields = knows(server, 7.04, 9);
    tests({ server, fields, newest: knows(server, 8.04, Infinity) });
    return;
  }
  it.skipIf(!serversRequired())('no newer server is on this machine: run `make servers`', () => {
    throw new Error('no newer server is on this machine');
  });
}

/** 8.06 of 8.6.3. */
function release(version: string): number {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major + minor / 100;
}

function knows({ product, version }: ServerBinary, redis: number, valkey: number): boolean {
  return release(version) >= (product === 'redis' ? redis : valkey);
}
