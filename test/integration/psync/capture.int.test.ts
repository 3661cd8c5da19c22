import { describe, expect, it } from 'vitest';
import { NodeLife } from '../../support/node-life.ts';

describe('capture by replication', () => {
  it('restores every recorded second of a node whose append-only file is off', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await life.record(2);
    const windows = await life.expectHistory({ closed: [], holes: [] });
    expect(windows.ranges).toHaveLength(1);
    expect(await life.archiver.status()).toMatchObject({
      ...{ source: 'psync', state: 'caught-up', pinClass: null, linkError: null },
      link: { state: 'streaming', fullResyncs: 1, partialResyncs: 0, error: null },
    });
  });
});
