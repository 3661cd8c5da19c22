import { bytesOf } from '@tidemark/core';
import { wrappedKeyKey } from '@tidemark/archive';
import {
  createInstance,
  dropTdeLatch,
  openInstanceLog,
  type InstanceLog,
  type LatchPorts,
  type SnapshotStored,
} from '@tidemark/catalog';
import { encodeWrappedDataKey } from '@tidemark/crypto';
import { TidemarkError } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataKeys } from '../../../../services/archiver/src/ship/data-keys.ts';
import { TdeDesk } from '../../../../services/archiver/src/tde/tde-desk.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { LOG_KEY, objectRef, START_MS, SUMMARY } from '../../../support/log-events.ts';
import { rejection } from '../../../support/log-harness.ts';
import { failsBefore, MemoryStore } from '../../../support/memory-store.ts';
import { TestKeyService } from '../../../support/tde/key-service.ts';
import { patientClock } from '../../../support/tde/patient-clock.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const iid = 'vault';
const KEY = { provider: 'ring', keyId: 'one' } as const;
let dir: TempDir;
let store: MemoryStore;
let keys: TestKeyService;
let ports: LatchPorts;
let log: InstanceLog;
let dataKeys: DataKeys;
let desk: TdeDesk;
let warned: string[];

beforeEach(async () => {
  dir = await TempDir.create();
  [store, keys, warned] = [new MemoryStore(), new TestKeyService(), []];
  keys.usable.add(KEY.keyId);
  const [clock, random] = [patientClock(START_MS), seededRandom('tde desk')];
  ports = { store, logKey: LOG_KEY, stateDir: dir.path, clock, random };
  log = await createInstance({ ...ports, iid, name: iid, createdMs: START_MS });
  dataKeys = new DataKeys({ instance: iid, keys, store, clock });
  const quiet = (): void => undefined;
  const logger = {
    ...{ info: quiet, error: quiet },
    warn: (message: string) => void warned.push(message),
    child: () => logger,
  };
  desk = new TdeDesk({ instance: iid, log, ports, keys, dataKeys, logger });
});
afterEach(() => dir[Symbol.asyncDispose]());

const latch = () => dropTdeLatch(log, { iid, ...KEY, auto: false, atMs: START_MS }, ports);

/** Asks for a rekeying; the backup that it waits for comes when `go` is called. */
async function askFirst(): Promise<{
  readonly asked: Promise<TidemarkError>;
  readonly ready: Promise<void>;
  readonly go: () => void;
}> {
  let go = (): void => undefined;
  const ready = new Promise<void>((resolve) => (go = resolve));
  const asked = rejection(desk.rekey());
  // Each reads what the one before read: when they are through, the first one waits.
  for (let i = 0; i < 3; i++) await desk.renew();
  return { asked, ready, go };
}

/** Stores the key object of a snapshot and gives its event. */
async function stored(backup: string): Promise<SnapshotStored> {
  const { dataKey, wrapped } = await keys.generateDataKey({ instance: iid, purpose: 'snapshot' });
  const bytes = encodeWrappedDataKey(wrapped);
  await store.putIfAbsent(wrappedKeyKey(iid, dataKey.id, 1), bytesOf(bytes));
  return {
    type: 'SnapshotStored',
    ...{ backup, timeline: 't1', offset: 0n, from: 1, mode: 'manual', summary: SUMMARY },
    ...{ startedMs: START_MS, endedMs: START_MS, rdbBytes: 1000 },
    object: objectRef({ dekId: dataKey.id }),
  };
}

describe('TdeDesk', () => {
  it('begins a new data key under the key of TDE as soon as it is told', async () => {
    await desk.renew();
    const before = await dataKeys.forSegment(10);
    await latch();
    const still = await dataKeys.forSegment(10);
    expect(still.id).toBe(before.id);
    await desk.renew();
    const after = await dataKeys.forSegment(10);
    expect(keys.wraps.get(before.id)?.keyId).toBe('settings');
    expect(keys.wraps.get(after.id)).toEqual(KEY);
    // Told again nothing is begun anew, and the key that was in use was not wiped under anybody.
    await desk.renew();
    expect((await dataKeys.forSegment(10)).id).toBe(after.id);
  });

  it('tries the backup again until one stands, and tells whoever asked', async () => {
    await latch();
    await desk.renew();
    const over = new AbortController();
    const { asked, ready, go } = await askFirst();
    let tries = 0;
    const backup = async (): Promise<SnapshotStored> => {
      await ready;
      tries += 1;
      if (tries === 1) throw new TidemarkError('TM_BUSY', 'a backup is being made');
      if (tries === 2) throw new TidemarkError('TM_AOF_BASE', 'no RDB came');
      return stored('bk-3');
    };
    const running = desk.run({ backup }, over.signal);
    go();
    expect(await asked).toMatchObject({ code: 'TM_AOF_BASE' });
    expect(await desk.rekey()).toEqual({ state: 'enabled', backup: 'bk-3' });
    expect(log.state.tde).toMatchObject({ backup: 'bk-3', enabledMs: START_MS });
    expect(warned).toEqual(['tde-modifying']);
    over.abort(new Error('the test ends'));
    await running;
    expect(tries).toBe(3);
  });

  it('takes no backup for the first one that was sealed under another key', async () => {
    await latch();
    await desk.renew();
    const { wrapWith } = keys.directory.of(iid);
    const over = new AbortController();
    const { asked, ready, go } = await askFirst();
    let tries = 0;
    const backup = async (): Promise<SnapshotStored> => {
      await ready;
      tries += 1;
      keys.directory.set(iid, { wrapWith: tries === 1 ? null : wrapWith, allowed: [] });
      return stored(`bk-${tries.toString()}`);
    };
    const running = desk.run({ backup }, over.signal);
    go();
    expect(await asked).toMatchObject({ code: 'TM_KEY_WRONG' });
    expect(await desk.rekey()).toEqual({ state: 'enabled', backup: 'bk-2' });
    over.abort(new Error('the test ends'));
    await running;
  });

  it('looks at the log unasked, and outlives a store that is away', async () => {
    let ticks = 0;
    const sleepers: (() => void)[] = [];
    const clock = {
      ...patientClock(START_MS),
      sleep: async (_: number, signal?: AbortSignal): Promise<void> => {
        ticks += 1;
        await new Promise<void>((resolve) => {
          sleepers.push(resolve);
          signal?.addEventListener('abort', () => resolve());
        });
      },
    };
    const faults = { away: false };
    const seen = store.through(({ key }) => (faults.away ? failsBefore(key) : undefined));
    const quiet = (): void => undefined;
    const logger = {
      ...{ info: quiet, error: quiet },
      warn: (message: string) => void warned.push(message),
      child: () => logger,
    };
    const patient = { ...ports, clock, store: seen, retry: { attempts: 1 } };
    const ownLog = await openInstanceLog({ ...patient, iid });
    desk = new TdeDesk({ instance: iid, log: ownLog, ports: patient, keys, dataKeys, logger });
    await desk.renew();
    const over = new AbortController();
    const running = desk.run({ backup: () => stored('bk-1') }, over.signal);
    const tick = async (): Promise<void> => {
      const before = ticks;
      sleepers.shift()?.();
      while (ticks === before) await new Promise((resolve) => setImmediate(resolve));
    };
    faults.away = true;
    await tick();
    expect(warned).toEqual(['tde-not-read']);
    faults.away = false;
    await latch();
    await tick();
    expect(log.state.tde).toMatchObject(KEY);
    await log.catchUp();
    expect(log.state.tde).toMatchObject({ backup: 'bk-1' });
    over.abort(new Error('the test ends'));
    await running;
  });

  it('tells whoever waits when its capture ends', async () => {
    await latch();
    await desk.renew();
    const over = new AbortController();
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const backup = (): Promise<SnapshotStored> =>
      new Promise((_, reject) => {
        over.signal.addEventListener('abort', () => reject(new Error('ended')));
        begin();
      });
    const running = desk.run({ backup }, over.signal);
    const asked = desk.rekey().then(
      () => null,
      (cause: unknown) => cause,
    );
    await begun;
    over.abort(new Error('the test ends'));
    await running;
    expect(await asked).toBeInstanceOf(Error);
  });
});
