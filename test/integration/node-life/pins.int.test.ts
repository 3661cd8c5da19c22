import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

describe('pins that go over their limit', () => {
  it.each([
    ['bytes', { pinBytesMax: 1_000 }],
    ['age', { pinAgeMaxMs: 500 }],
  ])('are given up, and the hole is named: %s', async (_, limits) => {
    await using life = await NodeLife.start({
      archiver: { limits: { ...limits, rollMaxBytes: 512 } },
    });
    await life.record(2);
    await life.untilProven();
    life.bench.store.down = true; // the archiver stands still
    await life.record();
    for (let i = 0; i < 2; i++) {
      expect(await life.rewrite()).toBe(true);
      await life.record();
    }
    const pinned = join(life.server.dir, '.tidemark-pins');
    await waitFor(() => readdirSync(pinned, { recursive: true }).length <= 3);
    await systemClock.sleep(200);
    life.bench.store.down = false;
    await life.untilTimeline(2);
    await life.record(2);
    await life.expectHistory({ closed: ['pin-dropped'], holes: ['pin-dropped'] });
  });
});
