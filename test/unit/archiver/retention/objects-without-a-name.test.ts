import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentKey, snapshotKey } from '@tidemark/archive';
import { openInstanceLog } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyRepo } from '../../../../services/restorer/src/verify/verify-repo.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { heartbeat, LOG, LOG_KEY, snapshot } from '../../../support/log-events.ts';
import { openTestLog, readTestLog } from '../../../support/log-harness.ts';
import { DAY_MS, ENDED_MS, expireAt, writeSeconds } from '../../../support/retention-run.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

const { iid, shard, writer } = LOG;
const FROZEN = snapshotKey(iid, shard, writer, 'bk-frozen');

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, FIRST + 9);
});
afterEach(() => archive[Symbol.asyncDispose]());

const put = (key: string): Promise<unknown> =>
  archive.store.putIfAbsent(key, bytesOf(Buffer.from('sealed')));
const isThere = (key: string): boolean => archive.store.objects.has(key);

/** The owner of the log writes a sign of life at an instant. */
async function liveAt(atMs: number): Promise<void> {
  const log = await openTestLog(archive.store);
  await log.claim({ ownerId: 'spool-a', takeOver: true });
  const timeline = log.state.timeline!;
  await log.append(heartbeat(timeline.end, { timeline: timeline.timeline, atMs }));
}

describe('objects that no log names', () => {
  it('are deleted after a grace through which their writer was alive', async () => {
    const segment = segmentKey(iid, shard, writer, { timeline: 't1', start: 0n, id: 'orphan' });
    await put(FROZEN);
    await put(segment);
    const { marked } = await expireAt(archive, ENDED_MS);
    expect(marked).toMatchObject({ steps: [], unnamed: { objects: 2, bytes: 12 } });
    await liveAt(ENDED_MS + DAY_MS);
    const { deleted } = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(deleted).toMatchObject({ objects: 2, bytes: 12 });
    expect([isThere(FROZEN), isThere(segment)]).toEqual([false, false]);
  });

  it('stay while somebody reads history: he may have planned with them', async () => {
    await put(FROZEN);
    await expireAt(archive, ENDED_MS);
    await liveAt(ENDED_MS + 3 * DAY_MS);
    const [clock, random] = [steppingClock(ENDED_MS), seededRandom('reader')];
    const log = await openInstanceLog({
      store: archive.store,
      iid,
      logKey: LOG_KEY,
      clock,
      random,
    });
    await log.append(() => ({
      ...{ type: 'LeaseTaken', lease: 'ls-1', purpose: 'restore', fromSecond: FIRST + 5 },
      ...{ untilMs: ENDED_MS + DAY_MS + 1, atMs: ENDED_MS },
    }));
    const { deleted } = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(deleted).toMatchObject({ objects: 0 });
    expect((await expireAt(archive, ENDED_MS + 2 * DAY_MS)).deleted).toMatchObject({ objects: 1 });
  });

  it('stay while their writer is frozen, and are good when it goes on', async () => {
    await put(FROZEN);
    for (let day = 0; day < 4; day++) await expireAt(archive, ENDED_MS + day * DAY_MS);
    expect(isThere(FROZEN)).toBe(true);
    const log = await openTestLog(archive.store);
    await log.claim({ ownerId: 'spool-a', takeOver: true });
    const object = { ...snapshot(0n).object, key: FROZEN };
    await log.append(snapshot(log.state.timeline!.end, { backup: 'bk-frozen', object }));
    await log.append(heartbeat(log.state.timeline!.end, { atMs: ENDED_MS + 9 * DAY_MS }));
    for (let day = 4; day < 12; day++) await expireAt(archive, ENDED_MS + day * DAY_MS);
    expect(isThere(FROZEN)).toBe(true);
    const { catalog } = await archive.environment();
    expect(catalog.snapshots(ARCHIVED).map(({ backup }) => backup)).toContain('bk-frozen');
  });

  it('are not marked beyond the end of their timeline: they are on their way', async () => {
    const start = archive.end + 5n;
    await put(segmentKey(iid, shard, writer, { timeline: 't1', start, id: 'coming' }));
    expect((await expireAt(archive, ENDED_MS)).marked).toBeNull();
  });

  it('that came after the mark, or whose list is lost, wait for another one', async () => {
    await put(FROZEN);
    await expireAt(archive, ENDED_MS);
    const late = snapshotKey(iid, shard, writer, 'bk-late');
    await put(late);
    await liveAt(ENDED_MS + 2 * DAY_MS);
    const { stateDir } = await archive.environment();
    await rm(join(stateDir, 'expire'), { recursive: true });
    const { deleted, marked } = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(deleted).toMatchObject({ objects: 0 });
    expect(marked).toMatchObject({ unnamed: { objects: 2 } });
    await liveAt(ENDED_MS + 3 * DAY_MS);
    expect((await expireAt(archive, ENDED_MS + 2 * DAY_MS)).deleted).toMatchObject({ objects: 2 });
  });

  it('are marked no more of at one time than the share allows, unless it is forced', async () => {
    const { catalog } = await archive.environment();
    const { bytes } = catalog.retention((ask) => ask.total(ARCHIVED));
    const half = Buffer.alloc(Math.ceil(bytes / 2) + 1);
    const large = snapshotKey(iid, shard, writer, 'bk-large');
    await archive.store.putIfAbsent(large, bytesOf(half));
    const some = await expireAt(archive, ENDED_MS, { shareMax: 0.5 });
    expect(some.marked).toMatchObject({ tombstone: null, unnamed: null, limited: true });
    await put(FROZEN);
    const other = await expireAt(archive, ENDED_MS, { shareMax: 0.5, dryRun: true });
    expect(other.marked).toMatchObject({ unnamed: { objects: 1, bytes: 6 }, limited: true });
    const forced = await expireAt(archive, ENDED_MS, { shareMax: 1 });
    expect(forced.marked).toMatchObject({ unnamed: { objects: 2 }, limited: false });
  });

  it('are never those of a writer whose log is lost', async () => {
    await put(FROZEN);
    const logKeys = archive.store.keys().filter((key) => key.includes(`/${writer}/log/`));
    expect(logKeys.length).toBeGreaterThan(3);
    const { catalog } = await archive.environment();
    for (const key of logKeys) archive.store.tamper(key, null);
    catalog.clear();
    for (let day = 0; day < 3; day++) {
      const { marked, deleted } = await expireAt(archive, ENDED_MS + day * DAY_MS);
      expect([marked, deleted]).toEqual([null, null]);
    }
    expect(isThere(FROZEN)).toBe(true);
  });
});

describe('a long log', () => {
  it('loses what a checkpoint stands for, and a catalog made anew says the same', async () => {
    for (let i = 0; i < 1_100; i++) await archive.prove(FIRST + 8);
    await writeSeconds(archive, FIRST + 20, FIRST + 59);
    for (let i = 0; i < 1_100; i++) await archive.prove(FIRST + 59);
    await writeSeconds(archive, FIRST + 60, FIRST + 99);
    await expireAt(archive, ENDED_MS);
    const marked = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(marked.deleted?.logEntries).toBe(1_025);
    const { catalog } = await archive.environment();
    const shown = [catalog.windows(ARCHIVED), catalog.snapshots(ARCHIVED)];
    expect(catalog.windows(ARCHIVED).earliest).toBe(FIRST + 40);
    catalog.clear();
    await archive.environment();
    expect([catalog.windows(ARCHIVED), catalog.snapshots(ARCHIVED)]).toEqual(shown);
    await expect(readTestLog(archive.store)).rejects.toMatchObject({ code: 'TM_LOG_GAP' });
    const { store, keys, signal } = await archive.environment();

    const whole = await verifyRepo({ store, keys, signal, onProgress: () => undefined });
    expect(whole.faults).toEqual([]);
  }, 60_000);
});
