import { wrappedKeyKey } from '@tidemark/archive';
import type { InstanceEvent, WriterState } from '@tidemark/catalog';
import { refuseCaptured, shredKeys, type ShredReport } from '@tidemark/restorer';
import type { ObjectStore, ObjectVersion, VersionAccess, VersionLock } from '@tidemark/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { standingClock } from '../../../support/crypto-ports.ts';
import { DamageBench } from '../../../support/damage/damage-bench.ts';
import { TINY_INSTANCE } from '../../../support/damage/tiny-archive.ts';
import type { MemoryStore } from '../../../support/memory-store.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const NEVER = new AbortController().signal;
const NOW_MS = 1_796_000_000_000;
let dir: TempDir;
let bench: DamageBench;
beforeEach(async () => {
  dir = await TempDir.create('tidemark-shred-');
  bench = await DamageBench.build('shred', dir.path);
});
afterEach(() => dir[Symbol.asyncDispose]());

async function shred(
  dekIds: readonly string[] | null,
  store: ObjectStore = bench.store,
): Promise<ShredReport> {
  const log = await bench.instanceLog();
  return shredKeys({
    ...{ instance: TINY_INSTANCE, dekIds, store, log, clock: standingClock(NOW_MS), signal: NEVER },
    onProgress: () => undefined,
  });
}

async function append(event: InstanceEvent): Promise<void> {
  const log = await bench.instanceLog();
  await log.append(() => event);
}

/** The data key of a backup. */
async function keyOf(backup: string): Promise<string> {
  using catalog = await bench.freshCatalog();
  return catalog.snapshots(TINY_INSTANCE).find((one) => one.backup === backup)!.object.dekId;
}

const SHREDDED = { code: 'TM_KEY_SHREDDED', exitCode: 12 };
const keyObjects = (): string[] => bench.store.keys('v1/keys/');
/** Adds a second generation of every key, as a rewrapping that was interrupted leaves it. */
function addGenerations(): void {
  for (const key of keyObjects()) {
    const [, , iid = '', dekId = ''] = key.split('/');
    bench.store.tamper(wrappedKeyKey(iid, dekId, 2), bench.store.objects.get(key)!);
  }
}

describe('shredKeys() of a backup', () => {
  it('removes every generation of its key; it is refused, everything else restores', async () => {
    addGenerations();
    const dekId = await keyOf('bk-2');
    expect(await shred([dekId])).toEqual({ removed: 2, versioned: false, again: false });
    expect(keyObjects().filter((key) => key.includes(dekId))).toEqual([]);
    await expect(bench.dryRunOf({ kind: 'backup', backup: 'bk-2' })).rejects.toMatchObject({
      ...SHREDDED,
      context: { backup: 'bk-2' },
    });
    await bench.dryRunOf({ kind: 'backup', backup: 'bk-1' });
    // The newest second is after bk-2: it is restored from bk-1 and a longer log.
    expect(await bench.dryRun()).toMatchObject({ keys: expect.anything() as unknown });
  });

  it('refuses a second that no other backup serves, with the reason', async () => {
    await shred([await keyOf('bk-1'), await keyOf('bk-2')]);
    await expect(bench.dryRun()).rejects.toMatchObject(SHREDDED);
  });

  it('is no damage: verification counts the key and finds no fault', async () => {
    await shred([await keyOf('bk-2')]);
    expect(await bench.verify()).toMatchObject({ shredded: 1, faultCount: 0, objects: 5 });
    expect(await bench.repo()).toMatchObject({ shredded: 1, faultCount: 0 });
  });

  it('run again goes on where it was, and says so', async () => {
    const dekId = await keyOf('bk-2');
    const key = wrappedKeyKey(TINY_INSTANCE, dekId, 1);
    const bytes = bench.store.objects.get(key)!;
    await shred([dekId]);
    bench.store.tamper(key, bytes); // a process that was killed before it, or a copy put back
    await expect(bench.dryRunOf({ kind: 'backup', backup: 'bk-2' })).rejects.toMatchObject(
      SHREDDED,
    );
    const { faults } = await bench.verify();
    expect(faults.map(({ code, message }) => `${code} ${message}`).join()).toContain(key);
    expect(await shred([dekId])).toEqual({ removed: 1, versioned: false, again: true });
    expect(await bench.verify()).toMatchObject({ faultCount: 0 });
  });
});

describe('shredKeys() of an instance', () => {
  it('removes every key; nothing of it is restored any more', async () => {
    addGenerations();
    expect(await shred(null)).toEqual({ removed: 6, versioned: false, again: false });
    expect(keyObjects()).toEqual([]);
    await expect(bench.dryRun()).rejects.toMatchObject(SHREDDED);
    for (const backup of ['bk-1', 'bk-2']) {
      await expect(bench.dryRunOf({ kind: 'backup', backup })).rejects.toMatchObject(SHREDDED);
    }
    expect(await bench.verify()).toMatchObject({ faultCount: 0, objects: 0 });
    expect(await shred(null)).toEqual({ removed: 0, versioned: false, again: true });
  });

  it('leaves the keys of other instances', async () => {
    const other = wrappedKeyKey('tiny-2', 'ab'.repeat(16), 1);
    bench.store.tamper(other, Buffer.from('x'));
    await shred(null);
    expect(keyObjects()).toEqual([other]);
  });

  it('is refused while an archiver writes', () => {
    const state = (released: boolean, lastEntryMs: number): WriterState =>
      ({ owner: { released }, lastEntryMs }) as unknown as WriterState;
    const refuse = (released: boolean, ageMs: number): void =>
      refuseCaptured('tiny', [{ writer: 'w', state: state(released, NOW_MS - ageMs) }], NOW_MS);
    expect(() => refuse(false, 1_000)).toThrow(
      expect.objectContaining({ code: 'TM_BUSY', exitCode: 11 }) as Error,
    );
    refuse(true, 1_000);
    refuse(false, 3_600_000);
  });
});

describe('shredKeys() that may not be', () => {
  it.each<[string, 'restore' | 'hold', number, boolean]>([
    ['that is held', 'restore', NOW_MS + 1, true],
    ['that has ended', 'restore', NOW_MS, false],
    ['that only its release ends', 'hold', NOW_MS - 1, true],
  ])('with a lease %s', async (_, purpose, untilMs, refused) => {
    const lease = { lease: 'ls-1', purpose, fromSecond: 1, untilMs, atMs: 1 };
    await append({ type: 'LeaseTaken', ...lease });
    const before = new Map(bench.store.objects);
    if (!refused) {
      await shred(null);
      return;
    }
    for (const dekIds of [null, [await keyOf('bk-1')]]) {
      await expect(shred(dekIds)).rejects.toMatchObject({
        ...{ code: 'TM_BUSY', exitCode: 11 },
        context: { lease: 'ls-1' },
      });
    }
    expect(new Map(bench.store.objects)).toEqual(before);
  });

  it.each<[string, VersionLock]>([
    ['retention', { untilMs: NOW_MS + 1, legalHold: false }],
    ['a legal hold', { untilMs: null, legalHold: true }],
  ])('under %s of the store: nothing is done, not even said', async (_, lock) => {
    const before = new Map(bench.store.objects);
    const store = versioned(bench.store, () => lock);
    await expect(shred(null, store)).rejects.toMatchObject({
      ...{ code: 'TM_STORE_LOCKED', exitCode: 11 },
      context: { object: expect.stringContaining('v1/keys/tiny/') as unknown },
    });
    expect(new Map(bench.store.objects)).toEqual(before);
    expect((await bench.instanceLog()).state.shredded).toEqual({ instanceMs: null, dekIds: [] });
  });

  it('removes every version where the store keeps them', async () => {
    const store = versioned(bench.store, () => null);
    expect(await shred([await keyOf('bk-1')], store)).toMatchObject({
      removed: 3,
      versioned: true,
    });
    expect(store.left()).toHaveLength(2 * 3);
  });
});

describe('shredKeys() with a server that does not know versions', () => {
  /** It answers a question for them with a listing that names none. */
  const ignoring = (change: Partial<ObjectStore> = {}): ObjectStore => {
    const versions: VersionAccess = {
      list: async function* () {
        // none
      },
      lockOf: () => Promise.resolve(null),
      remove: () => Promise.resolve(),
    };
    return Object.assign(bench.store.through(), { versions }, change);
  };

  it('removes the objects, and says that no versions were counted', async () => {
    addGenerations();
    expect(await shred(null, ignoring())).toEqual({ removed: 6, versioned: false, again: false });
    expect(keyObjects()).toEqual([]);
  });

  it('is no success where the objects stay', async () => {
    const before = keyObjects();
    const store = ignoring({ delete: () => Promise.resolve() });
    await expect(shred(null, store)).rejects.toMatchObject({
      ...{ code: 'TM_STORE_REFUSED', context: { key: before[0] } },
    });
    expect(keyObjects()).toEqual(before);
  });

  it('asks for the locks of what no version was named of', async () => {
    const store = ignoring();
    const held = { untilMs: NOW_MS + 1, legalHold: false };
    (store as unknown as { versions: VersionAccess }).versions.lockOf = () => Promise.resolve(held);
    await expect(shred(null, store)).rejects.toMatchObject({ code: 'TM_STORE_LOCKED' });
    expect((await bench.instanceLog()).state.shredded).toEqual({ instanceMs: null, dekIds: [] });
  });
});

/** A store that keeps, of every key object, an older version and the mark of a deletion. */
function versioned(
  store: MemoryStore,
  lockOf: (version: ObjectVersion) => VersionLock | null,
): ObjectStore & { readonly versions: VersionAccess; left(): readonly ObjectVersion[] } {
  let all: ObjectVersion[] = store.keys('v1/keys/').flatMap((key) => [
    { key, versionId: 'new', isMarker: false },
    { key, versionId: 'mark', isMarker: true },
    { key, versionId: 'old', isMarker: false },
  ]);
  const versions: VersionAccess = {
    async *list(prefix) {
      const found = all.filter(({ key }) => key.startsWith(prefix));
      if (found.length > 0) yield await Promise.resolve(found);
    },
    lockOf: (version) => Promise.resolve(version.versionId === 'old' ? lockOf(version) : null),
    remove: async (version) => {
      all = all.filter((one) => one.key !== version.key || one.versionId !== version.versionId);
      if (version.versionId === 'new') await store.delete(version.key);
    },
  };
  return Object.assign(store.through(), { versions, left: () => all });
}
