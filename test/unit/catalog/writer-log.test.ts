import { writerLogKey } from '@tidemark/archive';
import { encodeLogEntry, EMPTY_WRITER_STATE, type WriterLog } from '@tidemark/catalog';
import type { ObjectStore } from '@tidemark/store';
import { describe, expect, it } from 'vitest';
import { standingClock } from '../../support/crypto-ports.ts';
import {
  claimed,
  heartbeat,
  LOG,
  LOG_KEY,
  objectRef,
  opened,
  START_MS,
  stored,
} from '../../support/log-events.ts';
import { openTestLog, readTestLog, rejection } from '../../support/log-harness.ts';
import {
  failsAfter,
  failsBefore,
  MemoryStore,
  type StoreFault,
} from '../../support/memory-store.ts';

const { iid, shard, writer } = LOG;
const keyOf = (seq: number): string => writerLogKey(iid, shard, writer, seq);
const beat = (index: number): ReturnType<typeof heartbeat> =>
  heartbeat(0n, { timeline: null, atMs: START_MS + index });

async function openOwned(store: ObjectStore, ownerId = 'spool-a'): Promise<WriterLog> {
  const log = await openTestLog(store);
  await log.claim({ ownerId, takeOver: false });
  return log;
}

/** A handle on a store whose next puts fail as told, in order. */
function failing(store: MemoryStore): { handle: MemoryStore; next: StoreFault[] } {
  const next: StoreFault[] = [];
  const handle = store.through(({ op }) => (op === 'put' ? next.shift() : undefined));
  return { handle, next };
}

describe('openWriterLog()', () => {
  it('reads and writes nothing but what it must', async () => {
    const store = new MemoryStore();
    const log = await openTestLog(store);
    expect(log.state).toEqual(EMPTY_WRITER_STATE);
    expect(log.generation).toBeNull();
    expect(store.objects.size).toBe(0);
    expect(store.calls.filter(({ op }) => op === 'list')).toHaveLength(1);
  });

  it('folds what an owner before it wrote', async () => {
    const store = new MemoryStore();
    const first = await openOwned(store);
    await first.append(opened());
    const body = Buffer.alloc(300, 1);
    await first.append(
      stored(0n, 40n, { object: objectRef({ key: null, size: body.length }) }),
      body,
    );
    const second = await openTestLog(store);
    expect(second.state).toEqual(first.state);
    expect(second.state.timeline?.end).toBe(40n);
  });

  it('is refused with a wrong key ring (exit 12)', async () => {
    const store = new MemoryStore();
    await openOwned(store);
    const other = encodeLogEntry({
      log: LOG,
      seq: 0,
      generation: 1,
      event: claimed(),
      predecessor: '0'.repeat(64),
      logKey: { id: '11'.repeat(16), key: Buffer.alloc(32, 1) },
    });
    store.tamper(keyOf(0), other.bytes);
    expect(await rejection(openTestLog(store))).toMatchObject({
      code: 'TM_KEY_MISSING',
      exitCode: 12,
    });
  });
});

describe('WriterLog.append()', () => {
  it('is refused before a claim', async () => {
    const log = await openTestLog(new MemoryStore());
    expect(await rejection(log.append(beat(1)))).toMatchObject({ code: 'TM_LOG_STATE' });
  });

  it('puts one object and asks for nothing in steady state', async () => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    store.calls.length = 0;
    expect(await log.append(beat(1))).toBe(1);
    expect(await log.append(beat(2))).toBe(2);
    expect(store.calls.map(({ op, key }) => [op, key])).toEqual([
      ['put', keyOf(1)],
      ['put', keyOf(2)],
    ]);
  });

  it('leaves the log as it is when the event is not allowed', async () => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    const { state } = log;
    expect((await rejection(log.append(stored(0n, 1n)))).code).toBe('TM_LOG_STATE');
    expect(log.state).toBe(state);
    expect(await log.append(beat(1))).toBe(1);
  });

  it('writes an entry once when its put succeeded and said it failed', async () => {
    const store = new MemoryStore();
    const { handle, next } = failing(store);
    const log = await openOwned(handle);
    next.push(failsAfter('x'), failsBefore('x'));
    expect(await log.append(beat(1))).toBe(1);
    expect(await log.append(beat(2))).toBe(2);
    expect(await readTestLog(store)).toHaveLength(3);
  });

  it.each([
    ['came to nothing', failsBefore('x')],
    ['took effect', failsAfter('x')],
  ])('may be repeated after its tries are used up when the last put %s', async (_, last) => {
    const store = new MemoryStore();
    const { handle, next } = failing(store);
    const log = await openOwned(handle);
    next.push(...Array.from({ length: 4 }, () => failsBefore('x')), last);
    const error = await rejection(log.append(beat(1)));
    expect(error).toMatchObject({ code: 'TM_STORE_IO', retryable: true });
    expect(log.state.seq).toBe(0);
    expect(await log.append(beat(1))).toBe(1);
    expect((await readTestLog(store)).map(({ event }) => event)).toEqual([
      expect.objectContaining({ type: 'OwnerClaimed' }) as object,
      beat(1),
    ]);
  });

  it('completes an unknown entry before the next one, and finds it when it is repeated', async () => {
    const store = new MemoryStore();
    const { handle, next } = failing(store);
    const log = await openOwned(handle);
    next.push(...Array.from({ length: 5 }, () => failsBefore('x')));
    await rejection(log.append(beat(1)));
    expect(await log.append(beat(2))).toBe(2);
    expect(await log.append(beat(1))).toBe(1);
    expect((await readTestLog(store)).map(({ seq }) => seq)).toEqual([0, 1, 2]);
  });

  it('takes calls in their order, one entry on its way at a time', async () => {
    const store = new MemoryStore();
    let running = 0;
    let most = 0;
    const handle = store.through(({ op }) => {
      if (op !== 'put') return undefined;
      running += 1;
      most = Math.max(most, running);
      return {
        before: async () => {
          await new Promise(setImmediate);
        },
        after: () => {
          running -= 1;
        },
      };
    });
    const log = await openOwned(handle);
    const seqs = await Promise.all(Array.from({ length: 20 }, (_, i) => log.append(beat(i))));
    expect(seqs).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(most).toBe(1);
  });

  it('lets at most 256 calls wait', async () => {
    const log = await openOwned(new MemoryStore());
    const calls = Array.from({ length: 257 }, (_, i) => log.append(beat(i)));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(256);
    expect(outcomes[256]).toMatchObject({ reason: { code: 'TM_LIMIT' } });
  });

  it('stops for good when a higher generation holds the place', async () => {
    const store = new MemoryStore();
    const first = await openOwned(store);
    const second = await openTestLog(store);
    await second.claim({ ownerId: 'spool-b', takeOver: true });
    const error = await rejection(first.append(beat(1)));
    expect(error).toMatchObject({
      code: 'TM_LOG_OWNER',
      exitCode: 11,
      context: { seq: 1, generation: 1, otherGeneration: 2 },
    });
    const { length } = [...store.objects];
    expect(await rejection(first.append(beat(2)))).toBe(error);
    expect(first.stopped).toBe(error);
    expect([...store.objects]).toHaveLength(length);
    expect(await second.append(beat(3))).toBe(2);
  });

  it('stops when its own generation wrote something else', async () => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    const { bytes } = encodeLogEntry({
      log: LOG,
      seq: 1,
      generation: 1,
      event: beat(9),
      predecessor: log.state.digest,
      logKey: LOG_KEY,
    });
    store.tamper(keyOf(1), bytes);
    expect(await rejection(log.append(beat(1)))).toMatchObject({
      code: 'TM_LOG_CONFLICT',
      context: { seq: 1, generation: 1 },
    });
    expect((await rejection(log.append(beat(9)))).code).toBe('TM_LOG_CONFLICT');
  });

  it.each([
    ['bytes that are no entry', Buffer.from('hello'), 'TM_LOG_FORMAT'],
    ['an entry of another log', null, 'TM_LOG_CHAIN'],
  ])('stops when %s lie in its place', async (_, bytes, code) => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    store.tamper(keyOf(1), bytes ?? store.objects.get(keyOf(0)) ?? Buffer.alloc(0));
    expect((await rejection(log.append(beat(1)))).code).toBe(code);
    expect((await rejection(log.append(beat(1)))).code).toBe(code);
  });
});

describe('WriterLog.claim()', () => {
  it('is refused while another owner shows life, and writes nothing', async () => {
    const store = new MemoryStore();
    await openOwned(store);
    const clock = standingClock(START_MS + 59_999);
    const log = await openTestLog(store, { clock });
    const claim = { ownerId: 'spool-b', takeOver: false };
    expect(await rejection(log.claim(claim))).toMatchObject({ code: 'TM_LOG_OWNER', exitCode: 11 });
    expect(store.objects.size).toBe(1);
    clock.now += 1;
    await log.claim(claim);
    expect(log.state.owner).toMatchObject({ generation: 2, ownerId: 'spool-b', tookOver: true });
  });

  it('sees entries that were written since opening', async () => {
    const store = new MemoryStore();
    const late = await openTestLog(store, { clock: standingClock(START_MS + 70_000) });
    const owner = await openOwned(store);
    await owner.append(heartbeat(0n, { timeline: null, atMs: START_MS + 69_000 }));
    const error = await rejection(late.claim({ ownerId: 'spool-b', takeOver: false }));
    expect(error).toMatchObject({ code: 'TM_LOG_OWNER', context: { ageMs: 1000 } });
  });

  it('is at once free after a release', async () => {
    const store = new MemoryStore();
    const first = await openOwned(store);
    await first.release();
    expect((await rejection(first.append(beat(1)))).message).toMatch(/has released/);
    const second = await openOwned(store, 'spool-b');
    expect(second.generation).toBe(2);
  });

  it('of two at one time lets one win, and the other says who did', async () => {
    const store = new MemoryStore();
    const logs = await Promise.all([openTestLog(store), openTestLog(store)]);
    const outcomes = await Promise.allSettled(
      logs.map((log, index) => log.claim({ ownerId: `spool-${index}`, takeOver: true })),
    );
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const lost = outcomes.find((outcome) => outcome.status === 'rejected');
    expect(lost?.reason).toMatchObject({
      code: 'TM_LOG_OWNER',
      message: 'another archiver has just claimed the log',
    });
    expect(await readTestLog(store)).toHaveLength(1);
  });

  it('takes the log from an owner that keeps writing', async () => {
    const store = new MemoryStore();
    const owner = await openOwned(store);
    let beats = 0;
    const handle = store.through(({ op, key }) => {
      // Twice the owner is faster for the place the claim wants.
      if (op !== 'put' || key.includes('checkpoint') || beats >= 2) return undefined;
      beats += 1;
      return {
        before: async () => {
          await owner.append(beat(beats));
        },
      };
    });
    const log = await openTestLog(handle);
    await log.claim({ ownerId: 'spool-b', takeOver: true });
    expect(log.state.seq).toBe(3);
    expect((await rejection(owner.append(beat(3)))).code).toBe('TM_LOG_OWNER');
  });

  it('gives up after 16 lost places', async () => {
    const store = new MemoryStore();
    const owner = await openOwned(store);
    let beats = 0;
    const handle = store.through(({ op }) => {
      beats += 1;
      return op === 'put'
        ? {
            before: async () => {
              await owner.append(beat(beats));
            },
          }
        : undefined;
    });
    const log = await openTestLog(handle);
    const error = await rejection(log.claim({ ownerId: 'spool-b', takeOver: true }));
    expect(error).toMatchObject({ code: 'TM_LOG_OWNER', context: { attempts: 16 } });
  });

  it('keeps an owner that was deposed from writing behind the new one', async () => {
    const store = new MemoryStore();
    const first = await openOwned(store);
    const second = await openTestLog(store);
    await second.claim({ ownerId: 'spool-b', takeOver: true });
    // The claim that fails has read the log past the other owner's claim.
    await rejection(first.claim({ ownerId: 'spool-a', takeOver: false }));
    expect((await rejection(first.append(beat(1)))).code).toBe('TM_LOG_OWNER');
    expect(await readTestLog(store)).toHaveLength(2);
  });

  it('is not undone by its own put that arrives late', async () => {
    const store = new MemoryStore();
    let arrive: () => void = () => undefined;
    const arrival = new Promise<void>((resolve) => (arrive = resolve));
    const puts: StoreFault[] = [{ appliesLater: () => arrival }];
    const handle = store.through(({ op }) => (op === 'put' ? puts.shift() : undefined));
    const log = await openTestLog(handle, { retry: { attempts: 1 } });
    const claim = { ownerId: 'spool-a', takeOver: false };
    expect((await rejection(log.claim(claim))).code).toBe('TM_STORE_IO');
    arrive();
    await new Promise(setImmediate);
    await log.claim(claim);
    expect(log.generation).toBe(2);
    expect(await log.append(beat(1))).toBe(2);
  });
});
