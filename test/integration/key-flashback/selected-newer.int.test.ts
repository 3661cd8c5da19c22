import { it } from 'vitest';
import { describeSelections } from '../../support/key-flashback/selection-suite.ts';
import { serverBinaries, serversRequired, type ServerBinary } from '../../support/servers.ts';
import { chooseSeed } from '../../support/workload.ts';

const seed = chooseSeed('selected keys of a newer server');
const newer = serverBinaries().filter(({ version }) => release(version) > 7.02);
const server = newer[seed % newer.length];

/** 8.06 of 8.6.3. */
function release(version: string): number {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major + minor / 100;
}

function knows({ product, version }: ServerBinary, redis: number, valkey: number): boolean {
  return release(version) >= (product === 'redis' ? redis : valkey);
}

if (server === undefined) {
  it.skipIf(!serversRequired())('no newer server is on this machine: run `make servers`', () => {
    throw new Error('no newer server is on this machine');
  });
} else {
  describeSelections({
    name: `selected keys of ${server.name}, one newer server in turn`,
    server,
    seed,
    seconds: 10,
    selectors: 10,
    workload: { fields: knows(server, 7.04, 9), newest: knows(server, 8.04, Infinity) },
  });
}
