import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { manifestOf } from '../../support/aof-writer.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

/** Room for a snapshot. */
const SPOOL_BYTES = 4 * 1024 * 1024;

describe('pins that go over their limit', () => {
  it.each([
    ['bytes', { pinBytesMax: 1_000 }],
    ['age', { pinAgeMaxMs: 500 }],
  ])('are given up once the spool is full too, and the hole is named: %s', async (_, limits) => {
    await using life = await NodeLife.start({
      archiver: { spoolBytesMax: SPOOL_BYTES, limits: { ...limits, rollMaxBytes: 512 } },
    });
    await life.record(2);
    await life.untilProven();
    life.bench.store.down = true;
    const isFull = async (): Promise<boolean> =>
      (await life.archiver.status()).storeError?.includes('spool') === true;
    const client = await life.server.connect();
    while (!(await isFull())) {
      // Nothing that stays: what is recorded tells of it.
      await client.set('filler', randomBytes(256 * 1024).toString('base64'));
      await client.del('filler');
      await systemClock.sleep(20);
    }
    await life.record(2); // the archiver stands still: this is not read
    const { ino } = statSync(join(life.server.aofDir, manifestOf(life.server).incr.at(-1)!.name));
    for (let i = 0; i < 2; i++) {
      expect(await life.rewrite()).toBe(true);
      await life.record();
    }
    const pins = join(life.server.dir, '.tidemark-pins');
    const pin = new RegExp(`incr\\.\\d+\\.\\d+\\.${ino}(\\.|$)`);
    const names = (): string[] => readdirSync(pins, { recursive: true, encoding: 'utf8' });
    await waitFor(() => !names().some((name) => pin.test(name)));
    await systemClock.sleep(200);
    life.bench.store.down = false;
    await life.untilTimeline(2);
    await life.record(2);
    await life.expectHistory({ closed: ['spool-full'], holes: ['spool-full'] });
  });
});

describe('files that cannot be linked, on a server that keeps them', () => {
  it('are found by an archiver that was away, and go once they are archived', async () => {
    await using life = await NodeLife.start({ hold: true });
    const client = await life.server.connect();
    const files = (): string[] => readdirSync(life.server.aofDir).sort();
    const setting = (): Promise<unknown> => client.config('GET', 'aof-disable-auto-gc');
    expect((await life.archiver.status()).pinClass).toBe('hold');
    await waitFor(async () => String(await setting()).endsWith('yes'));
    await life.record();
    await life.leave();
    const [stored] = (await life.bench.events('SegmentStored')).slice(-1);
    await life.record();
    const before = files();
    expect(await life.rewrite()).toBe(true);
    expect(files()).toEqual(expect.arrayContaining(before));
    await life.attach();
    await life.untilTimeline(2);
    await life.record(2);
    await life.expectHistory({ closed: ['rewrite-unobserved'] });
    await waitFor(() => files().length === 3); // manifest, base, increment
    expect(String(await setting())).toMatch(/yes$/);
    // What was written while nobody looked is archived too, up to the rewrite.
    const [closed] = await life.bench.events('TimelineClosed');
    if (closed?.type !== 'TimelineClosed' || stored?.type !== 'SegmentStored') throw new Error();
    expect(closed.offset).toBeGreaterThan(stored.segment.end);
  });
});
