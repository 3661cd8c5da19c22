import { readFile, rm, writeFile } from 'node:fs/promises';
import { instanceLogKey, tdeMarkerKey } from '@tidemark/archive';
import {
  createInstance,
  enableTde,
  EMPTY_INSTANCE_STATE,
  holdTdeLatch,
  instanceKeysOf,
  latchFilePath,
  openInstanceLog,
  readTde,
  readTdeMarker,
  refuseForTde,
  type InstanceLog,
  type Tde,
} from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { LOG_KEY, OTHER_LOG_KEY, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { failsAfter, failsBefore, MemoryStore } from '../../support/memory-store.ts';
import { TestKeyService } from '../../support/tde/key-service.ts';
import { TempDir } from '../../support/temp-dir.ts';

const iid = 'orders';
let dir: TempDir;
let store: MemoryStore;
let keys: TestKeyService;
let seed = 0;

beforeEach(async () => {
  dir = await TempDir.create();
  store = new MemoryStore();
  keys = new TestKeyService();
});
afterEach(async () => {
  await dir[Symbol.asyncDispose]();
});

const ports = (through: MemoryStore = store) => {
  seed += 1;
  const clock = standingClock(START_MS);
  const random = seededRandom(`tde ${seed.toString()}`);
  return { store: through, logKey: LOG_KEY, stateDir: dir.path, clock, random, keys };
};
const openLog = (through: MemoryStore = store): Promise<InstanceLog> => {
  const { clock, random } = ports();
  return openInstanceLog({ store: through, iid, logKey: LOG_KEY, clock, random });
};
const create = async (): Promise<InstanceLog> => {
  const { clock, random } = ports();
  const common = { store, iid, logKey: LOG_KEY, clock, random };
  return createInstance({ ...common, name: 'orders', createdMs: START_MS });
};
const enable = async (key: string | null = null, through: MemoryStore = store): Promise<Tde> =>
  enableTde(await openLog(through), { iid, key, admin: keys }, ports(through));
const ask = async (): Promise<Tde> => readTde(iid, { ...ports(), state: (await openLog()).state });

describe('enableTde()', () => {
  it('says on in all three places, with the key that sealed the canary', async () => {
    await create();
    expect(await ask()).toMatchObject({ state: 'disabled', latched: false, key: null });
    const tde = await enable();
    expect(tde).toMatchObject({
      state: 'modifying',
      latched: true,
      key: { provider: 'ring', keyId: 'auto-orders' },
      auto: true,
      witnesses: { log: 'on', marker: 'on', archiver: 'on' },
    });
    expect([...keys.wraps.values()]).toEqual([tde.key]);
    expect(store.keys('v1/tde/')).toEqual([tdeMarkerKey(iid)]); // no canary is left
    expect(store.keys('v1/keys/')).toEqual([]);
  });

  it('may be repeated, with the same key or none, and refuses another one', async () => {
    await create();
    keys.usable.add('custom').add('other');
    const first = await enable('custom');
    expect(await enable('custom')).toEqual(first);
    expect(await enable()).toEqual(first);
    const refusal = await rejection(enable('other'));
    expect(refusal).toMatchObject({ code: 'TM_EXISTS', context: { keyId: 'custom' } });
  });

  it.each([0, 2] as const)('records nothing for a key in authorisation state %d', async (state) => {
    await create();
    const before = store.keys();
    keys.authorized = state;
    const code = state === 0 ? 'TM_KEY_DENIED' : 'TM_KEY_SERVICE';
    const refusal = await rejection(enable());
    expect(refusal).toMatchObject({ code, context: { actions: 'kms:Decrypt' } });
    expect(store.keys()).toEqual(before);
    expect(await ask()).toMatchObject({ state: 'disabled' });
  });

  it('ends the same after a crash at any step, and is never off once it was on', async () => {
    for (const fault of [failsBefore, failsAfter]) {
      for (let step = 0; ; step++) {
        store = new MemoryStore();
        await rm(latchFilePath(dir.path, iid), { force: true });
        await create();
        // From this step on every call fails, as for a process that is killed there.
        const run = { crashed: false };
        const dying = store.through(({ index, key }) => {
          if (index < step) return undefined;
          run.crashed = true;
          return fault(key);
        });
        await enable(null, dying).catch(() => undefined);
        const between = await ask();
        const events = (await openLog()).state;
        if (events.tde !== null) expect(between.state).toBe('modifying');
        expect(await enable()).toMatchObject({
          latched: true,
          witnesses: { log: 'on', marker: 'on', archiver: 'on' },
        });
        if (!run.crashed) break;
      }
    }
  });

  it('gives two that ask at one time the same key', async () => {
    await create();
    keys.usable.add('one').add('two');
    const ends = await Promise.allSettled([enable('one'), enable('two')]);
    const tde = await ask();
    expect(tde.witnesses).toEqual({ log: 'on', marker: 'on', archiver: 'on' });
    const marker = await readTdeMarker({ ...ports(), iid });
    expect(marker?.keyId).toBe(tde.key?.keyId);
    for (const end of ends) {
      if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'TM_EXISTS' });
      else expect(end.value.key).toEqual(tde.key);
    }
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('the TDE latch', () => {
  const places = ['log', 'marker', 'archiver'] as const;
  const forget = {
    log: (count: number) => {
      for (let seq = 1; seq < count; seq++) store.tamper(instanceLogKey(iid, seq), null);
    },
    marker: () => store.tamper(tdeMarkerKey(iid), null),
    archiver: () => rm(latchFilePath(dir.path, iid)),
  };

  for (const kept of places) {
    it(`is on while only the ${kept} says so, and is held up in the other places again`, async () => {
      await create();
      await enable();
      const { seq } = (await openLog()).state;
      for (const place of places) if (place !== kept) await forget[place](seq + 1);
      const tde = await ask();
      expect(tde).toMatchObject({ latched: true, key: { keyId: 'auto-orders' }, auto: true });
      expect(places.filter((place) => tde.witnesses[place] === 'on')).toEqual([kept]);
      expect(instanceKeysOf((await openLog()).state, tde).wrapWith).toEqual(tde.key);
      const held = await holdTdeLatch(await openLog(), iid, ports());
      expect(held).toMatchObject({ key: tde.key, auto: true, latched: true });
      expect(held.witnesses).toEqual({ log: 'on', marker: 'on', archiver: 'on' });
    });
  }

  it('is on while a place is damaged, and names no key that nobody vouches for', async () => {
    await create();
    const path = latchFilePath(dir.path, iid);
    await enable();
    const file = await readFile(path);
    for (const bytes of [file.subarray(0, 40), Buffer.alloc(0), Buffer.alloc(20_000, 1)]) {
      await writeFile(path, bytes);
      store.tamper(tdeMarkerKey(iid), null);
      const tde = await readTde(iid, { ...ports(), state: EMPTY_INSTANCE_STATE });
      expect(tde).toMatchObject({ state: 'modifying', latched: true, key: null });
      expect(tde.witnesses).toEqual({ log: 'off', marker: 'off', archiver: 'damaged' });
      expect(instanceKeysOf(EMPTY_INSTANCE_STATE, tde)).toEqual({
        ...{ wrapWith: null, allowed: [], keyUnknown: true },
      });
    }
    const foreign = await readTde(iid, {
      ...ports(),
      logKey: OTHER_LOG_KEY,
      state: EMPTY_INSTANCE_STATE,
    });
    expect(foreign.latched).toBe(true);
    const { seq } = (await openLog()).state;
    forget.log(seq + 1);
    const refusal = await rejection(holdTdeLatch(await openLog(), iid, ports()));
    expect(refusal).toMatchObject({ code: 'TM_LOG_AUTH', context: { iid } });
  });

  it('is not the latch of another instance', async () => {
    await create();
    await enable();
    const marker = store.objects.get(tdeMarkerKey(iid)) ?? Buffer.alloc(0);
    store.tamper(tdeMarkerKey('other'), marker);
    const refusal = await rejection(readTdeMarker({ ...ports(), iid: 'other' }));
    expect(refusal).toMatchObject({ code: 'TM_LOG_CHAIN', context: { actual: iid } });
  });

  it('is asked of a store that answers: one that is away leaves no answer', async () => {
    await create();
    const away = store.through(({ key }) => failsBefore(key));
    const asked = readTde(iid, { ...ports(away), state: EMPTY_INSTANCE_STATE });
    expect(await rejection(asked)).toMatchObject({ code: 'TM_STORE_IO' });
  });
});

describe('refuseForTde()', () => {
  it('refuses by name from the request on, and nothing before', async () => {
    await create();
    const off = await ask();
    const on = await enable();
    for (const operation of [
      'plain-copy',
      'original-restore',
      'values',
      'clear-transport',
    ] as const) {
      expect(() => refuseForTde(off, operation)).not.toThrow();
      let refusal: unknown;
      try {
        refuseForTde(on, operation);
      } catch (cause) {
        refusal = cause;
      }
      expect(refusal).toMatchObject({
        code: 'TM_TDE_DENIED',
        context: { instance: iid, operation, tde: 'modifying' },
      });
    }
  });
});
