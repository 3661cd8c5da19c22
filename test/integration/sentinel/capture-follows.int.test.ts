import { describe, expect, it } from 'vitest';
import { SetLife } from '../../support/sentinel-set/set-life.ts';

describe('a capture of a Sentinel set', () => {
  it('restores both sides of two failovers under load, one graceful and one by SIGKILL', async () => {
    await using it = await SetLife.start();
    await it.record();
    await it.failover();
    await it.record();
    await it.kill();
    await it.record();
    await it.expectHistory();
  });

  it('goes on in the same timeline where the new primary has all bytes', async () => {
    await using it = await SetLife.start();
    await it.record();
    await it.handOver();
    await it.record();
    expect(await it.expectHistory()).toBe(0);
  });
});
