import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { comparableLog, isLateExpiry } from '../support/lossy-log.ts';
import { diffRestored, SecondRecorder } from '../support/recorded-seconds.ts';
import { startRedis } from '../support/redis-server.ts';
import { INSTANCE, nodeOf } from '../support/scenario.ts';
import { describeWithServer } from '../support/servers.ts';
import { iso, Tidemark } from '../support/tidemark-cli.ts';
import { chooseSeed, Workload } from '../support/workload.ts';

const DATABASES = 4;
/** Without time stamps a second ends at the first sample after it. */
const WRITE_FROM_MS = 300;

describeWithServer('redis', '6.0', '(d) a server with a single append-only file', ({ binary }) => {
  it('is restored as it was at ten seconds, the archiver killed and a backup made between', async () => {
    await using tidemark = await Tidemark.init();
    const config = { databases: DATABASES.toString() };
    await using source = await startRedis({ binary, config });
    await using target = await startRedis({ binary, aof: false, config });
    await using writing = await nodeOf(source);
    await using blocking = await nodeOf(source);
    const [client, targetClient] = [await source.connect(), await target.connect()];
    const recorder = new SecondRecorder(client, DATABASES, {
      old: source,
      writeFromMs: WRITE_FROM_MS,
    });
    const workload = new Workload(writing, blocking, {
      ...{ seed: chooseSeed('single file'), databases: DATABASES, bigOnceIn: 0 },
      ...{ level: 60_000, dumps: false },
    });
    await workload.open();
    await tidemark.add(INSTANCE, source);
    const first = await tidemark.serve();
    await recorder.record(workload, 3);
    // Only what is stored tells when that second ended.
    await tidemark.untilProven(INSTANCE, recorder.recorded.at(-1)?.second ?? 0);
    await first.kill();
    for (let i = 0; i < 100; i++) await client.incr('while-away');
    const second = await tidemark.serve();
    await recorder.record(workload, 3);
    await delay(WRITE_FROM_MS);
    await client.config('SET', 'rdb-key-save-delay', '3000');
    const over = new AbortController();
    const backup = tidemark
      .json<{ readonly id: string }>('backup', 'create', INSTANCE, '--wait')
      .finally(() => over.abort());
    while (!over.signal.aborted) await client.incr('while-rewritten');
    await client.config('SET', 'rdb-key-save-delay', '0');
    const { id } = await backup;
    await recorder.record(workload, 4);
    const { recorded } = recorder;
    const windows = await tidemark.untilProven(INSTANCE, recorded.at(-1)?.second ?? 0);
    expect(windows.shards[0]?.holes).toEqual([]);
    const { backups } = await tidemark.json<{ readonly backups: readonly object[] }>(
      ...['backup', 'list', INSTANCE],
    );
    expect(backups).toMatchObject([{ mode: 'attach' }, { mode: 'manual', id }]);
    for (const wanted of recorded) {
      await tidemark.restore(INSTANCE, wanted.second, target);
      const found = await diffRestored(wanted.oracle, target, targetClient, {
        old: true,
        comparable: comparableLog,
      });
      expect(
        found.filter((line) => !isLateExpiry(line)),
        iso(wanted.second),
      ).toEqual([]);
      await targetClient.call('REPLICAOF', 'NO', 'ONE');
    }
    expect(recorded).toHaveLength(10);
    expect(await second.stop()).toBe(0);
  });
});
