import { probeAofDir } from '@tidemark/aof';
import { connectNode, readNodeFacts } from '@tidemark/client';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkAofPlace } from '../../../services/control/src/instances/aof-place.ts';
import { buildAof } from '../../support/aof-run.ts';
import { startRedis } from '../../support/redis-server.ts';

beforeAll(buildAof, 120_000);

describe('checkAofPlace()', () => {
  it('takes the folder of a server, and refuses that of another one', async () => {
    await using server = await startRedis();
    await using other = await startRedis();
    const writer = await server.connect();
    await writer.set('key', 'value');
    await using client = await connectNode({ host: '127.0.0.1', port: server.port });
    const facts = await readNodeFacts(client);
    const [own, foreign] = [await probeAofDir(server.aofDir), await probeAofDir(other.aofDir)];
    expect(await checkAofPlace(client, facts, own)).toBe('same-folder');
    await expect(checkAofPlace(client, facts, foreign)).rejects.toMatchObject({
      ...{ code: 'TM_AOF_DIR', exitCode: 2, context: { dir: foreign.dir } },
      hint: expect.stringContaining(server.aofDir) as unknown,
    });
    // In a container the server has other names for its folders.
    const elsewhere = { config: { ...facts.config, dir: '/nowhere/at/all' } };
    expect(await checkAofPlace(client, elsewhere, own)).toBe('same-sizes');
    await expect(checkAofPlace(client, elsewhere, foreign)).rejects.toMatchObject({
      ...{ code: 'TM_AOF_DIR', context: { dir: foreign.dir } },
      hint: expect.stringContaining('BGREWRITEAOF') as unknown,
    });
    await writer.call('BGREWRITEAOF');
    expect(await checkAofPlace(client, elsewhere, own)).toBe('same-sizes');
  });
});
