import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openInstanceLog, type SnapshotStored, type WriterEvent } from '@tidemark/catalog';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import {
  ArchiverBench,
  INSTANCE,
  waitFor,
  type CaptureOf,
  type RunningArchiver,
} from '../../support/archiver-run.ts';

beforeAll(buildAof);

async function setFlashback(bench: ArchiverBench, flashback: boolean): Promise<void> {
  const logKey = await bench.keys.logKey(INSTANCE);
  const [clock, random] = [systemClock, systemRandom];
  const log = await openInstanceLog({ store: bench.store, iid: INSTANCE, logKey, clock, random });
  const days = ['mon'] as const;
  const policy = { days, hours: ['03:00'], retainSeconds: 86_400, flashback };
  await log.append(() => ({ type: 'PolicySet', policy, by: 'test', atMs: clock.nowMs() }));
}

async function write(bench: ArchiverBench, key: string, count: number): Promise<void> {
  const client = await bench.server.connect();
  const pipeline = client.pipeline();
  for (let index = 0; index < count; index++) pipeline.set(`${key}:${index}`, 'v');
  await pipeline.exec();
}

async function snapshots(bench: ArchiverBench): Promise<readonly SnapshotStored[]> {
  const events = await bench.events('SnapshotStored');
  return events.filter((event): event is SnapshotStored => event.type === 'SnapshotStored');
}

const segments = async (bench: ArchiverBench): Promise<number> =>
  (await bench.events('SegmentStored')).length;

async function expectResting(bench: ArchiverBench, archiver: RunningArchiver): Promise<void> {
  await archiver.until('snapshots-only');
  expect((await archiver.status()).state).toBe('snapshots-only');
  const closed = await bench.events('TimelineClosed');
  expect(closed.at(-1)).toMatchObject({ reason: 'detached' });
  expect(existsSync(join(bench.server.dir, '.tidemark-pins'))).toBe(false);
}

const flashbackOff = (event: WriterEvent): boolean =>
  event.type === 'TimelineClosed' && event.detail === 'flashback was switched off';

describe.each<CaptureOf>(['aof', 'psync'])('flashback of an instance captured by %s', (source) => {
  it('is switched off and on while it runs and across restarts; backups go on without it', async () => {
    await using bench = await ArchiverBench.open({ source });
    const first = await bench.begin({ limits: { rollMaxAgeMs: 200 } });
    await write(bench, 'kept', 50);
    await setFlashback(bench, false);
    expect(await first.ask('policy')).toEqual({ flashback: false, done: true });
    await expectResting(bench, first);
    // What was written before is stored to the last byte, and in the reason it says why it ends.
    expect((await bench.storedCommands()).includes('kept:49')).toBe(true);
    expect((await bench.events('TimelineClosed')).filter(flashbackOff)).toHaveLength(1);
    await expect(first.ask('roll')).rejects.toMatchObject({ code: 'TM_FLASHBACK_OFF' });

    const logged = await segments(bench);
    await write(bench, 'unlogged', 30);
    const scheduled = first.ask('backup', INSTANCE, { mode: 'automated' });
    await expect(first.ask('backup')).rejects.toMatchObject({ code: 'TM_BUSY' });
    const { backup } = (await scheduled) as { readonly backup: string };
    const [made] = (await snapshots(bench)).filter((each) => each.backup === backup);
    expect(made).toMatchObject({ mode: 'automated', summary: { keys: 80 } });
    await first.stop();

    const second = bench.start();
    await expectResting(bench, second);
    await second.ask('backup');
    expect((await snapshots(bench)).filter(({ mode }) => mode === 'manual')).toHaveLength(1);
    expect(await segments(bench)).toBe(logged);

    const before = await snapshots(bench);
    await setFlashback(bench, true);
    expect(await second.ask('policy')).toEqual({ flashback: true, done: true });
    await waitFor(async () => (await snapshots(bench)).length > before.length);
    await second.until('caught-up');
    await write(bench, 'again', 20);
    await second.ask('roll');
    expect(await segments(bench)).toBeGreaterThan(logged);
    const opened = await bench.events('TimelineOpened');
    const newest = (await snapshots(bench)).filter(
      (each) => !before.some((b) => b.backup === each.backup),
    );
    expect(opened.map((event) => event.type === 'TimelineOpened' && event.timeline)).toContain(
      newest[0]?.timeline,
    );
    expect((await second.status()).timeline).toBe(newest[0]?.timeline);
  });
});

describe('flashback that is switched off while no archiver runs', () => {
  it('ends once all that was written until then is stored', async () => {
    await using bench = await ArchiverBench.open();
    const first = await bench.begin();
    await write(bench, 'early', 40);
    await first.stop();
    await write(bench, 'late', 40);
    await setFlashback(bench, false);
    const second = bench.start();
    await expectResting(bench, second);
    expect((await bench.storedCommands()).includes('late:39')).toBe(true);
    expect((await bench.events('TimelineClosed')).filter(flashbackOff)).toHaveLength(1);
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
  });
});
