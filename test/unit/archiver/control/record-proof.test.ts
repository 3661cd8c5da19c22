import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordProofs } from '../../../../services/archiver/src/control/record-proof.ts';
import { SpoolLock } from '../../../../services/archiver/src/ship/spool-lock.ts';
import { seededRandom, standingClock } from '../../../support/crypto-ports.ts';
import { claimed, closed, LOG, opened, released, START_MS } from '../../../support/log-events.ts';
import { openTestLog, readTestLog, rejection } from '../../../support/log-harness.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const PROOF = { closed: 't1', opened: 't2' };

describe('recordProofs()', () => {
  let dir: TempDir;
  let store: MemoryStore;
  beforeEach(async () => {
    dir = await TempDir.create();
    store = new MemoryStore();
    const log = await openTestLog(store);
    await log.claim({ ownerId: claimed().ownerId, takeOver: false });
    await log.append(opened());
    await log.append(closed(0n, { reason: 'rewrite-unobserved' }));
    await log.append(opened({ timeline: 't2', previous: 't1', reason: 'rewrite-unobserved' }));
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  const record = (atMs: number): Promise<void> =>
    recordProofs([PROOF], {
      ...{ stateDir: dir.path, instance: LOG.iid, shard: LOG.shard, writer: LOG.writer, store },
      ...{ keys: new MemoryKeys(), heartbeatMs: 20_000 },
      ...{ clock: standingClock(atMs), random: seededRandom('proof') },
    });

  it('logs a proof in a log that was released, and releases it again', async () => {
    const log = await openTestLog(store);
    await log.claim({ ownerId: claimed().ownerId, takeOver: false });
    await log.append(released(log.generation ?? 0));
    await record(START_MS + 10);
    const events = (await readTestLog(store)).map(({ event }) => event).slice(-3);
    expect(events).toMatchObject([
      { type: 'OwnerClaimed', generation: 3 },
      { type: 'HoleProven', ...PROOF },
      { type: 'Released', generation: 3 },
    ]);
  });

  it('leaves the log of another spool alone while its owner is alive', async () => {
    const before = await readTestLog(store);
    expect(await rejection(record(START_MS + 10))).toMatchObject({ code: 'TM_LOG_OWNER' });
    expect(await readTestLog(store)).toEqual(before);
  });

  it('does not claim while an archiver holds the spool', async () => {
    await mkdir(join(dir.path, 'spool'));
    using _lock = new SpoolLock(join(dir.path, 'spool', 'lock.db'));
    expect(await rejection(record(START_MS + 3_600_000))).toMatchObject({ code: 'TM_LOG_OWNER' });
    expect((await readTestLog(store)).at(-1)?.event.type).toBe('TimelineOpened');
  });
});
