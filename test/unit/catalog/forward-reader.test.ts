import { writerLogKey } from '@tidemark/archive';
import { readWriterLog } from '@tidemark/catalog';
import { beforeAll, describe, expect, it } from 'vitest';
import { heartbeat, LOG, LOG_KEY, START_MS } from '../../support/log-events.ts';
import { openTestLog, readTestLog, rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const keyOf = (seq: number): string => writerLogKey(LOG.iid, LOG.shard, LOG.writer, seq);
const ENTRIES = 200;

describe('readWriterLog()', () => {
  let store: MemoryStore;
  beforeAll(async () => {
    store = new MemoryStore({ chunkBytes: 50 });
    const log = await openTestLog(store);
    await log.claim({ ownerId: 'spool-a', takeOver: false });
    for (let i = 1; i < ENTRIES; i++) {
      await log.append(heartbeat(0n, { timeline: null, atMs: START_MS + i }));
    }
  });

  const read = async (
    from: MemoryStore,
    after?: { seq: number; digest: string },
  ): Promise<number[]> => {
    const seqs: number[] = [];
    const source = { ...LOG, store: from, logKey: LOG_KEY };
    for await (const batch of readWriterLog(source, after && { after })) {
      seqs.push(...batch.map(({ seq }) => seq));
    }
    return seqs;
  };

  it('gives every entry once, in order, with at most 16 reads in flight', async () => {
    let running = 0;
    let most = 0;
    const reader = store.through(({ op }) => {
      if (op !== 'get') return undefined;
      running += 1;
      most = Math.max(most, running);
      return {
        before: async () => {
          await new Promise(setImmediate);
          running -= 1;
        },
      };
    });
    expect(await read(reader)).toEqual(Array.from({ length: ENTRIES }, (_, seq) => seq));
    expect(most).toBe(16);
  });

  it('asks for one entry when nothing is new, and never lists', async () => {
    const entries = await readTestLog(store);
    const last = entries.at(-1);
    const reader = store.through();
    expect(await read(reader, last)).toEqual([]);
    const count = (op: string): number => reader.calls.filter((call) => call.op === op).length;
    expect([count('get'), count('head'), count('list')]).toEqual([1, 4, 0]);
  });

  it('goes on from a position, chained to it', async () => {
    const entries = await readTestLog(store);
    expect(await read(store, entries[ENTRIES - 3])).toEqual([ENTRIES - 2, ENTRIES - 1]);
    const forged = { seq: ENTRIES - 3, digest: 'ab'.repeat(32) };
    expect(await rejection(read(store, forged))).toMatchObject({
      code: 'TM_LOG_CHAIN',
      context: { seq: ENTRIES - 2 },
    });
  });

  it.each([0, 1, 77, ENTRIES - 2])('says that entry %i is missing', async (seq) => {
    const copy = store.snapshot();
    copy.tamper(keyOf(seq), null);
    expect(await rejection(read(copy))).toMatchObject({
      code: 'TM_LOG_GAP',
      exitCode: 14,
      context: { seq, later: keyOf(seq + 1) },
    });
  });

  it('finds a wide gap when it lists', async () => {
    const copy = store.snapshot();
    for (let seq = 50; seq < 60; seq++) copy.tamper(keyOf(seq), null);
    expect(await read(copy)).toHaveLength(50);
    expect(await rejection(readTestLog(copy))).toMatchObject({
      code: 'TM_LOG_GAP',
      context: { seq: 50, later: keyOf(60) },
    });
  });

  it('takes an entry that comes while it looks for the end for no gap', async () => {
    const copy = store.snapshot();
    const [late, later] = [copy.objects.get(keyOf(100)), copy.objects.get(keyOf(101))];
    for (let seq = 100; seq < ENTRIES; seq++) copy.tamper(keyOf(seq), null);
    const reader = copy.through(({ op, key }) => {
      // The owner appends two entries between the read of the first and the look behind it.
      if (op === 'head' && key === keyOf(101)) {
        copy.tamper(keyOf(100), late ?? null);
        copy.tamper(keyOf(101), later ?? null);
      }
      return undefined;
    });
    expect(await read(reader)).toHaveLength(102);
  });

  it('names the first damaged entry and gives those before it', async () => {
    const copy = store.snapshot();
    const bytes = Buffer.from(copy.objects.get(keyOf(30)) ?? []);
    bytes[70] = (bytes[70] ?? 0) ^ 4;
    copy.tamper(keyOf(30), bytes);
    const seqs: number[] = [];
    const error = await rejection(
      (async () => {
        const source = { ...LOG, store: copy, logKey: LOG_KEY };
        for await (const batch of readWriterLog(source)) seqs.push(...batch.map(({ seq }) => seq));
      })(),
    );
    expect(error).toMatchObject({
      code: 'TM_LOG_AUTH',
      context: { seq: 30, object: keyOf(30) },
    });
    expect(seqs.length).toBeLessThanOrEqual(30);
  });

  it('refuses an object that is longer than any entry without reading it all', async () => {
    const copy = store.snapshot();
    const huge = Buffer.alloc(3 * 1024 * 1024, copy.objects.get(keyOf(3)));
    huge.writeUInt32BE(0xffff, 12);
    const wide = new MemoryStore();
    for (const [key, value] of copy.objects) wide.tamper(key, value);
    wide.tamper(keyOf(3), huge);
    expect(await rejection(read(wide))).toMatchObject({ code: 'TM_LOG_AUTH', context: { seq: 3 } });
  });

  it('passes an abort on as it is', async () => {
    const reason = new Error('stopped by the test');
    const source = { ...LOG, store, logKey: LOG_KEY, signal: AbortSignal.abort(reason) };
    await expect(readWriterLog(source).next()).rejects.toBe(reason);
  });
});
