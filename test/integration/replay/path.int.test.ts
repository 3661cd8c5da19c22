import { dryRun, resumeRestore } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import { differences, record, requestFor, restoreInto } from '../../support/replay-run.ts';
import { startRedis } from '../../support/redis-server.ts';
import { describeWithServer, findServer } from '../../support/servers.ts';
import { ARCHIVED } from '../../support/test-archive.ts';

describeWithServer('redis', '6.0', 'the path from a newer server', (redis60) => {
  it('is told before anything is done, and kept by a restore that is gone on with', async () => {
    const redis70 = findServer('redis', '7.0')!;
    await using recorded = await record({
      binary: redis70.binary,
      during: [
        (client) => client.rpush('list', 1, 2, 3, 4),
        (client) => client.set('timed', 1, 'PX', 3_600_000),
        (client) => client.lpop('list', 2),
        (client) => client.set('plain', 1),
      ],
    });
    await using target = await startRedis({ binary: redis60.binary, aof: false });
    const client = await target.connect();
    const settings = await client.config('GET', '*');
    const expected = {
      name: 'native+converted',
      source: `redis ${redis70.version}`,
      target: `redis ${redis60.version}`,
      changedCommands: { lpop: 1, set: 1 },
    };
    const { archive } = recorded;
    const environment = {
      ...(await archive.environment()),
      clock: systemClock,
      random: systemRandom,
    };
    const planned = await dryRun(requestFor(archive, target), environment);
    expect(planned.path).toMatchObject(expected);
    expect(await client.config('GET', '*')).toEqual(settings);
    expect(await client.dbsize()).toBe(0);

    const replayed = await restoreInto(archive, target, { promote: false });
    expect(replayed).toMatchObject({ state: 'replayed', path: expected });
    const password = (): Promise<string> => Promise.resolve('');
    const promoted = await resumeRestore(ARCHIVED, replayed.id, password, environment);
    expect(promoted).toMatchObject({ state: 'succeeded', path: expected });
    const source = { server: redis70, client: recorded.client };
    expect(await differences(source, { server: redis60, client })).toEqual([]);
  });
});

it('is native within one release line, and no pass over the log comes before', async () => {
  await using recorded = await record({ during: [(client) => client.set('a', 1)] });
  await using target = await startRedis({ aof: false });
  const { path } = await restoreInto(recorded.archive, target);
  expect(path).toMatchObject({ name: 'native', snapshot: 'as stored', changedCommands: {} });
});
