import { instanceCheckpointKey, instanceLogKey } from '@tidemark/archive';
import {
  createInstance,
  openCatalog,
  openInstanceLog,
  readInstanceLog,
  readInstanceState,
  type InstanceEvent,
  type InstanceLog,
  type InstanceLogOptions,
} from '@tidemark/catalog';
import { StoreError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { buildRecord, MAGIC } from '../../support/log-builder.ts';
import { LOG_KEY, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { failsBefore, MemoryStore } from '../../support/memory-store.ts';

const iid = 'inst';
const CHECKPOINTS = 'v1/instance/inst/checkpoint/';
const [job, worker] = ['job-1', 'host.1'];

const options = (store: MemoryStore, seed = 'a'): InstanceLogOptions => ({
  ...{ store, iid, logKey: LOG_KEY },
  ...{ clock: standingClock(START_MS), random: seededRandom(seed) },
});

const renewed = (at: number): InstanceEvent => ({
  ...{ type: 'JobRenewed', job, worker },
  untilMs: START_MS + at,
});

/** A log whose last entry has a number, nearly all of them renewals of the claim of a job. */
async function logUpTo(seq: number, store: MemoryStore): Promise<InstanceLog> {
  const log = await createInstance({ ...options(store), name: 'orders', createdMs: START_MS });
  const claim = { kind: 'restore', by: 'me', attempt: 1, untilMs: START_MS, atMs: START_MS };
  await log.append(() => ({ type: 'JobClaimed', job, worker, ...claim }));
  for (let at = 2; at <= seq; at++) await log.append(() => renewed(at));
  return log;
}

/** Opens the log as a process that starts; how many requests it takes. */
async function opened(store: MemoryStore): Promise<{ log: InstanceLog; requests: number }> {
  const handle = store.through();
  const log = await openInstanceLog(options(handle, 'reader'));
  return { log, requests: handle.calls.length };
}

describe('checkpoints of an instance log', () => {
  it('are written behind every 256th entry by the table in docs/formats', async () => {
    const store = new MemoryStore();
    const { state } = await logUpTo(256, store);
    expect(store.keys(CHECKPOINTS)).toEqual([instanceCheckpointKey(iid, 256)]);
    const bytes = store.objects.get(instanceCheckpointKey(iid, 256)) ?? Buffer.alloc(0);
    const header = bytes.subarray(64, 64 + bytes.readUInt32BE(12));
    const {
      iid: named,
      fold: made,
      state: fold,
    } = JSON.parse(header.toString()) as Record<string, object>;
    expect([named, made]).toEqual([iid, 1]);
    expect(fold).toMatchObject({ seq: 256, digest: state.digest, name: 'orders' });
    const parts = { magic: MAGIC.instanceCheckpoint, header, predecessor: state.digest };
    expect(bytes).toEqual(buildRecord(parts));
  });

  it('take the place of the entries up to them for whoever starts', async () => {
    const store = new MemoryStore();
    const { state } = await logUpTo(2_000, store);
    const { log, requests } = await opened(store);
    expect(log.state).toEqual(state);
    expect(requests).toBeLessThan(64 + 256 + 32);
    expect(await readInstanceState(options(store))).toEqual(state);
    await log.append(() => renewed(2_001)); // and goes on where the log ends
    expect((await opened(store)).log.state).toEqual(log.state);
  });

  it('give a new catalog the same as all the entries do', async () => {
    const store = new MemoryStore();
    await logUpTo(600, store);
    const [reader, whole] = [store.through(), store.through()];
    using catalog = openCatalog({ path: ':memory:' });
    using everything = openCatalog({ path: ':memory:' });
    const sync = { instances: [iid], logKey: () => Promise.resolve(LOG_KEY) };
    await catalog.sync({ ...sync, store: reader });
    await everything.sync({ ...sync, store: whole, everyEntry: true });
    expect(catalog.instance(iid)).toEqual(everything.instance(iid));
    expect(catalog.instance(iid).seq).toBe(600);
    expect(whole.calls.length).toBeGreaterThan(600);
    expect(reader.calls.length).toBeLessThan(250);
  });

  it('are not asked for while a log is short', async () => {
    const store = new MemoryStore();
    await logUpTo(40, store);
    const handle = store.through();
    await openInstanceLog(options(handle));
    expect(handle.calls.filter(({ op }) => op === 'list')).toEqual([]);
  });

  it('are written late where nobody wrote one: by an earlier release, or by a process that died', async () => {
    const store = new MemoryStore();
    await logUpTo(700, store);
    for (const key of store.keys(CHECKPOINTS)) store.tamper(key, null);
    const { log, requests } = await opened(store);
    expect(requests).toBeGreaterThan(700);
    await log.append(() => renewed(701));
    expect(store.keys(CHECKPOINTS)).toEqual([instanceCheckpointKey(iid, 701)]);
    const again = await opened(store);
    expect(again.log.state).toEqual(log.state);
    expect(again.requests).toBeLessThan(100);
  });

  it('are done without where the store does not take or list them', async () => {
    const store = new MemoryStore();
    const refusing = store.through(({ op, key }) =>
      op === 'put' && key.startsWith(CHECKPOINTS) ? failsBefore(key) : undefined,
    );
    const { state } = await logUpTo(300, refusing);
    expect(store.keys(CHECKPOINTS)).toEqual([]);
    const denied = store.through(({ op, key }) =>
      op === 'list'
        ? {
            before: () => {
              throw new StoreError('TM_STORE_DENIED', 'no listing', { context: { key } });
            },
          }
        : undefined,
    );
    expect((await openInstanceLog(options(denied))).state).toEqual(state);
  });

  it.each([
    'damaged',
    'of another instance',
    'of another history',
    'of another fold',
    'of an early release',
  ])('that are %s are passed over: the entries say the same', async (what) => {
    const store = new MemoryStore();
    const { state } = await logUpTo(600, store);
    const newest = instanceCheckpointKey(iid, 512);
    const bytes = Buffer.from(store.objects.get(newest) ?? Buffer.alloc(0));
    const header = bytes.subarray(64, 64 + bytes.readUInt32BE(12)).toString();
    const digest = bytes.subarray(16, 48).toString('hex');
    const foreign = what === 'of another history' ? 'ab'.repeat(32) : digest;
    const changed =
      what === 'of another instance'
        ? header.replace('"iid":"inst"', '"iid":"users"')
        : what === 'of another fold'
          ? header.replace('"fold":1,', '"fold":2,')
          : what === 'of an early release'
            ? header.replace('"fold":1,', '')
            : header.replaceAll(digest, foreign);
    if (what !== 'damaged') expect(changed).not.toBe(header);
    const parts = { magic: MAGIC.instanceCheckpoint, header: changed, predecessor: foreign };
    const forged = buildRecord(parts);
    if (what === 'damaged') forged[70] = (forged[70] ?? 0) ^ 1;
    store.tamper(newest, forged);
    const { log, requests } = await opened(store);
    expect(log.state).toEqual(state);
    expect(requests).toBeGreaterThan(344); // behind the one before it
  });

  it('show that a store has lost the end of a log', async () => {
    const store = new MemoryStore();
    await logUpTo(300, store);
    for (let seq = 200; seq <= 300; seq++) store.tamper(instanceLogKey(iid, seq), null);
    const error = await rejection(openInstanceLog(options(store)));
    expect(error.code).toBe('TM_LOG_GAP');
    expect(error.context).toMatchObject({ iid, seq: 256 });
  });

  it('show to a new catalog, or one that is rebuilt, that a store has lost nearly all of a log', async () => {
    const store = new MemoryStore();
    await logUpTo(300, store);
    for (let seq = 30; seq <= 300; seq++) store.tamper(instanceLogKey(iid, seq), null);
    using catalog = openCatalog({ path: ':memory:' });
    const logKey = () => Promise.resolve(LOG_KEY);
    for (const everyEntry of [false, true, true]) {
      const asked = { instances: [iid], logKey, store, everyEntry };
      const error = await rejection(catalog.sync(asked));
      expect(error.code).toBe('TM_LOG_GAP');
      expect(error.context).toMatchObject({ iid, seq: 256 });
      expect(catalog.instances()).toEqual([]);
    }
  });

  it('are looked for by a new catalog where an instance has no entry yet', async () => {
    const store = new MemoryStore();
    await logUpTo(260, store);
    for (let seq = 0; seq <= 260; seq++) store.tamper(instanceLogKey(iid, seq), null);
    const logKey = () => Promise.resolve(LOG_KEY);
    using catalog = openCatalog({ path: ':memory:' });
    const lost = await rejection(catalog.sync({ instances: [iid], logKey, store }));
    expect(lost.code).toBe('TM_LOG_GAP');
    store.tamper(instanceCheckpointKey(iid, 256), null);
    await catalog.sync({ instances: [iid], logKey, store });
    expect(catalog.instances()).toEqual([]);
  });

  it('leave every entry where it was', async () => {
    const store = new MemoryStore();
    await logUpTo(300, store);
    const seqs: number[] = [];
    for await (const batch of readInstanceLog(options(store))) {
      for (const { seq } of batch) seqs.push(seq);
    }
    expect(seqs).toEqual(Array.from({ length: 301 }, (_, at) => at));
  });
});
