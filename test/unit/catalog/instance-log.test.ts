import { instanceLogKey, instanceRecordKey } from '@tidemark/archive';
import {
  beginInstanceLog,
  createInstance,
  listInstanceIds,
  openInstanceLog,
  readInstanceRecord,
  type InstanceEvent,
  type InstanceLog,
  type InstanceLogOptions,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { buildRecord, MAGIC } from '../../support/log-builder.ts';
import { LOG_KEY, OTHER_LOG_KEY, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { failsAfter, failsBefore, MemoryStore } from '../../support/memory-store.ts';

const options = (store: MemoryStore, seed = 'a', iid = 'inst'): InstanceLogOptions => ({
  store,
  iid,
  logKey: LOG_KEY,
  clock: standingClock(START_MS),
  random: seededRandom(seed),
});
const create = (store: MemoryStore, seed = 'a', iid = 'inst'): Promise<InstanceLog> =>
  createInstance({ ...options(store, seed, iid), name: 'orders', createdMs: START_MS });
const lease = (name: string): InstanceEvent => ({
  type: 'LeaseTaken',
  lease: name,
  purpose: 'restore',
  fromSecond: 1,
  untilMs: START_MS + 9,
  atMs: START_MS,
});

describe('beginInstanceLog()', () => {
  it('begins the log of one whose maker ended before it did, and no other', async () => {
    const store = new MemoryStore();
    await create(store);
    const entry = instanceLogKey('inst', 0);
    store.tamper(entry, null);
    expect((await openInstanceLog(options(store))).state.iid).toBeNull();
    const log = await beginInstanceLog(options(store, 'b'));
    expect(log.state).toMatchObject({ seq: 0, iid: 'inst', name: 'orders', createdMs: START_MS });
    await log.append(() => lease('one'));
    expect((await beginInstanceLog(options(store, 'c'))).state).toEqual(log.state);
    for (let seq = 0; seq <= 1; seq++) store.tamper(instanceLogKey('inst', seq), null);
    const later = 'v1/instance/inst/0/w-1/log/00000000000000000000';
    store.tamper(later, Buffer.alloc(1));
    const error = await rejection(beginInstanceLog(options(store)));
    expect(error).toMatchObject({ code: 'TM_LOG_GAP', context: { object: entry, later } });
    expect(store.keys()).toEqual([later, instanceRecordKey('inst')]);
  });
});

describe('createInstance()', () => {
  it('writes the record and the first entry by the tables in docs/formats', async () => {
    const store = new MemoryStore();
    await create(store);
    expect(store.keys()).toEqual([instanceLogKey('inst', 0), instanceRecordKey('inst')]);
    const record = store.objects.get(instanceRecordKey('inst'));
    const header = `{"createdMs":${START_MS},"format":1,"iid":"inst","name":"orders"}`;
    const built = buildRecord({ magic: MAGIC.record, header });
    expect(record?.toString('hex')).toBe(built.toString('hex'));
    const entry = store.objects.get(instanceLogKey('inst', 0)) ?? Buffer.alloc(0);
    const json = entry.subarray(64, 64 + entry.readUInt32BE(12));
    expect(json.toString()).toMatch(
      /^\{"author":"[0-9a-f]{32}","event":\{"atMs":\d+,"iid":"inst","name":"orders","type":"InstanceCreated"\},"iid":"inst","seq":0\}$/,
    );
    expect(entry).toEqual(buildRecord({ magic: MAGIC.instanceEntry, header: json }));
  });

  it('may be repeated after a crash at any step', async () => {
    for (let step = 0; step < 8; step++) {
      for (const fault of [failsBefore, failsAfter]) {
        const store = new MemoryStore();
        const handle = store.through(({ index, key }) => (index >= step ? fault(key) : undefined));
        await create(handle).catch(() => undefined);
        const log = await create(store, 'b');
        expect(log.state).toMatchObject({ seq: 0, iid: 'inst', name: 'orders' });
      }
    }
  });

  it('refuses an id that is taken', async () => {
    const store = new MemoryStore();
    await create(store);
    const other = createInstance({ ...options(store), name: 'users', createdMs: START_MS });
    expect((await rejection(other)).code).toBe('TM_EXISTS');
  });
});

describe('readInstanceRecord()', () => {
  it('tells what is not there, a wrong key ring and damage apart', async () => {
    const store = new MemoryStore();
    expect((await rejection(readInstanceRecord(options(store)))).code).toBe('TM_NOT_FOUND');
    await create(store);
    expect(await readInstanceRecord(options(store))).toEqual({
      iid: 'inst',
      name: 'orders',
      format: 1,
      createdMs: START_MS,
    });
    const wrong = { ...options(store), logKey: OTHER_LOG_KEY };
    expect(await rejection(readInstanceRecord(wrong))).toMatchObject({
      code: 'TM_KEY_MISSING',
      exitCode: 12,
    });
    const bytes = store.objects.get(instanceRecordKey('inst')) ?? Buffer.alloc(0);
    // From byte 48 on the id of the log key: the log still opens, so the ring is the right one.
    for (let at = 48; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      store.tamper(instanceRecordKey('inst'), flipped);
      expect(await rejection(readInstanceRecord(options(store)))).toMatchObject({
        code: 'TM_LOG_AUTH',
        context: { object: instanceRecordKey('inst') },
      });
    }
    store.tamper(instanceRecordKey('inst'), bytes.subarray(0, -1));
    expect((await rejection(readInstanceRecord(options(store)))).code).toBe('TM_LOG_FORMAT');
    store.tamper(instanceRecordKey('other'), bytes);
    const moved = readInstanceRecord(options(store, 'a', 'other'));
    expect((await rejection(moved)).code).toBe('TM_LOG_CHAIN');
  });
});

describe('listInstanceIds()', () => {
  it('finds every record and passes over what lies below and beside it', async () => {
    const store = new MemoryStore();
    for (const iid of ['b', 'a', 'a-b', 'a0', 'b1']) await create(store, iid, iid);
    store.tamper('v1/instance/no-record/log/00000000000000000000', Buffer.alloc(1));
    store.tamper('v1/keys/a/x', Buffer.alloc(1));
    for (let i = 0; i < 3000; i++) store.tamper(`v1/instance/a/s/w/log/${i}`, Buffer.alloc(1));
    const handle = store.through();
    expect([...(await listInstanceIds(handle))].sort()).toEqual(['a', 'a-b', 'a0', 'b', 'b1']);
    expect(handle.calls).toHaveLength(6 + 1 + 6);
  });

  it('finds none in an empty store', async () => {
    expect(await listInstanceIds(new MemoryStore())).toEqual([]);
  });
});

describe('InstanceLog.append()', () => {
  it('gives way to a faster author and asks again', async () => {
    const store = new MemoryStore();
    const first = await create(store);
    const second = await openInstanceLog(options(store, 'b'));
    await second.append(() => lease('ls_b'));
    const seen: number[] = [];
    const seq = await first.append((state) => {
      seen.push(state.seq);
      return lease('ls_a');
    });
    expect(seq).toBe(2);
    expect(seen).toEqual([1]);
    expect(first.state.leases.map((each) => each.lease)).toEqual(['ls_b', 'ls_a']);
  });

  it('of many authors at one time loses nobody’s event', async () => {
    const store = new MemoryStore();
    await create(store);
    const authors = await Promise.all(
      Array.from({ length: 8 }, (_, i) => openInstanceLog(options(store, `author ${i}`))),
    );
    await Promise.all(authors.map((author, i) => author.append(() => lease(`ls_${i}`))));
    const log = await openInstanceLog(options(store, 'reader'));
    expect(log.state.leases.map((each) => each.lease).sort()).toEqual(
      Array.from({ length: 8 }, (_, i) => `ls_${i}`),
    );
  });

  it('writes an event once when its put succeeded and said it failed', async () => {
    const store = new MemoryStore();
    await create(store);
    let faults = 3;
    const handle = store.through(({ op, key }) =>
      op === 'put' && faults-- > 0 ? failsAfter(key) : undefined,
    );
    const log = await openInstanceLog(options(handle, 'b'));
    expect(await log.append(() => lease('ls_1'))).toBe(1);
    expect((await openInstanceLog(options(store))).state.leases).toHaveLength(1);
  });

  it('refuses what the state does not allow, and says nothing when there is nothing to say', async () => {
    const log = await create(new MemoryStore());
    expect(
      (await rejection(log.append(() => ({ type: 'LeaseReleased', lease: 'x', atMs: 1 })))).code,
    ).toBe('TM_LOG_STATE');
    expect(await log.append(() => null)).toBeNull();
    expect(await log.append(() => lease('ls_1'))).toBe(1);
  });

  it('gives up after 32 faster authors', async () => {
    const store = new MemoryStore();
    await create(store);
    const rival = await openInstanceLog(options(store, 'rival'));
    let count = 0;
    const handle = store.through(({ op }) =>
      op === 'put'
        ? {
            before: async () => {
              await rival.append(() => lease(`ls_${count++}`));
            },
          }
        : undefined,
    );
    const log = await openInstanceLog(options(handle, 'b'));
    expect(await rejection(log.append(() => lease('mine')))).toMatchObject({
      code: 'TM_LOG_CONFLICT',
      context: { attempts: 32 },
    });
  });

  it('finds a missing entry', async () => {
    const store = new MemoryStore();
    const log = await create(store);
    for (let i = 0; i < 5; i++) await log.append(() => lease(`ls_${i}`));
    store.tamper(instanceLogKey('inst', 2), null);
    expect(await rejection(openInstanceLog(options(store)))).toMatchObject({
      code: 'TM_LOG_GAP',
      context: { iid: 'inst', seq: 2 },
    });
  });
});
