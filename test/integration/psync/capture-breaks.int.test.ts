import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CaptureStatus } from '@tidemark/archiver';
import { describe, expect, it } from 'vitest';
import { INSTANCE, type RunningArchiver } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

/** The smallest backlog that a server takes is overrun by this. */
const MORE_THAN_BACKLOG = 'x'.repeat(300_000);
const SMALL = { 'repl-backlog-size': '16kb' };

async function linkOf(archiver: RunningArchiver): Promise<CaptureStatus['link']> {
  return (await archiver.status()).link;
}

describe('an archiver that was away', () => {
  it('goes on without a full resync while the backlog reaches back', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await life.record();
    await life.leave();
    await life.record();
    await life.attach();
    await life.record();
    expect(await linkOf(life.archiver)).toMatchObject({ fullResyncs: 0, partialResyncs: 1 });
    await life.expectHistory({ closed: [], holes: [] });
  });

  it('has caught up at once with a node that writes nothing', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await life.record();
    await life.leave();
    await life.attach();
    expect(await life.archiver.status()).toMatchObject({
      ...{ state: 'caught-up', linkError: null, link: { state: 'streaming', fullResyncs: 0 } },
    });
  });

  it('has one hole, with both sides of it, when the backlog was overrun', async () => {
    await using life = await NodeLife.start({ source: 'psync', config: SMALL });
    await life.record();
    await life.leave();
    const redis = await life.server.connect();
    await redis.set('more', MORE_THAN_BACKLOG);
    await life.record();
    await redis.set('more', MORE_THAN_BACKLOG);
    await life.attach();
    await life.untilTimeline(2);
    await life.record();
    await life.expectHistory({ closed: ['backlog-overrun'], holes: ['backlog-overrun'] });
    expect(await linkOf(life.archiver)).toMatchObject({ fullResyncs: 1, partialResyncs: 0 });
  });

  it('goes on where its log ends when the spool was lost', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await life.record();
    await life.leave();
    await life.record();
    await rm(join(life.bench.stateDir(), 'spool', `${INSTANCE}.wire`), { recursive: true });
    await life.attach();
    await life.record();
    expect(await linkOf(life.archiver)).toMatchObject({ fullResyncs: 0, partialResyncs: 1 });
    await life.expectHistory({ closed: [], holes: [] });
  });
});

describe('a backup that is asked for', () => {
  it('stands at its offset in the open timeline, and is restored from', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await life.record();
    const backup = (await life.archiver.ask('backup')) as { readonly offset: string };
    expect(BigInt(backup.offset)).toBeGreaterThan(0n);
    await life.record(2);
    expect(await linkOf(life.archiver)).toMatchObject({ fullResyncs: 1, partialResyncs: 0 });
    await life.expectHistory({ closed: [], holes: [] });
    expect(await life.bench.events('SnapshotStored')).toHaveLength(2);
  });
});
