import { describe, expect, it } from 'vitest';
import { MatrixSource, type MatrixTarget } from './matrix/matrix-source.ts';
import {
  capabilitiesOf,
  matrixBinary,
  whyNoBinary,
  type MatrixServer,
} from './matrix/matrix-server.ts';
import { startRedis } from './redis-server.ts';
import { serversRequired } from './servers.ts';
import { chooseSeed } from './workload.ts';

const SECONDS = 5;
/**
 * Tests that servers of the matrix are captured by replication: five seconds of every type, each
 * restored into a server of the same version and compared in full.
 */
export function describeByReplication(servers: readonly MatrixServer[]): void {
  describe('captured by replication, five seconds of every type', () => {
    for (const name of servers) {
      const binary = matrixBinary(name);
      if (binary === null) {
        const reason = whyNoBinary(name);
        it.skipIf(!serversRequired())(`${name}: ${reason}`, () => {
          throw new Error(reason);
        });
        continue;
      }
      it(`${name} (${binary.version}): each second is restored equal`, async () => {
        const seed = chooseSeed(name);
        await using source = await MatrixSource.record(binary, 'full', seed, 'psync');
        const can = capabilitiesOf(binary);
        await using server = await startRedis({
          ...{ binary: binary.binary, aof: false, config: { databases: '16' } },
        });
        const client = await server.connect();
        const target: MatrixTarget = { server, client, can };
        expect(source.recorded).toHaveLength(SECONDS);
        for (const recorded of source.recorded) {
          const differences = await source.diffRestored(recorded, target);
          expect(differences, `${name}, second ${recorded.second}`).toEqual([]);
        }
      });
    }
  });
}
