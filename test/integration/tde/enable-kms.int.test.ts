import { join } from 'node:path';
import { tdeMarkerKey, tdePrefix } from '@tidemark/archive';
import {
  createInstance,
  enableTde,
  openInstanceLog,
  readTde,
  readTdeMarker,
  type LatchPorts,
  type Tde,
} from '@tidemark/catalog';
import { createKeyRing, openKeys, type KeyProviders } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { describeWithKms, KmsServer, refuse } from '../../support/kms-server.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const iid = 'vault';
const [clock, random] = [systemClock, systemRandom];

describeWithKms('enableTde() with a key service', () => {
  let server: KmsServer;
  let proxy: FaultProxy;
  let dir: TempDir;
  let store: MemoryStore;
  let keys: KeyProviders;
  let ports: LatchPorts;

  beforeAll(async () => {
    server = await KmsServer.start();
    Object.assign(process.env, server.env);
    proxy = await FaultProxy.start(server.endpoint);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    dir = await TempDir.create();
    proxy.rules.length = 0;
    const ringDir = join(dir.path, 'ring');
    (await createKeyRing({ dir: ringDir, clock, random })).close();
    const settings = server.settings(ringDir, await server.createKey('of the settings'), proxy.url);
    keys = await openKeys(settings, { clock, random });
    store = new MemoryStore();
    const logKey = await keys.logKey(iid);
    ports = { store, logKey, stateDir: join(dir.path, 'state'), clock, random };
    await createInstance({ ...ports, iid, name: iid, createdMs: clock.nowMs() });
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  const enable = async (key: string | null, seen: MemoryStore = store): Promise<Tde> => {
    const through = { ...ports, store: seen };
    const log = await openInstanceLog({ ...through, iid });
    return enableTde(log, { iid, key, admin: await keys.adminOf('aws-kms') }, { ...through, keys });
  };
  const ask = async (): Promise<Tde> =>
    readTde(iid, { ...ports, state: (await openInstanceLog({ ...ports, iid })).state });

  it('makes one automatic key, however often it is killed on the way', async () => {
    const usedKeys = new Set<string>();
    for (let step = 0; ; step += 2) {
      const run = { died: false };
      const dying = store.through(({ index }) => {
        if (index < step) return undefined;
        run.died = true;
        return {
          before: () => {
            throw new Error('killed');
          },
        };
      });
      await enable(null, dying).catch((cause: unknown) => {
        expect(cause).toMatchObject({ message: 'killed' });
      });
      const { key } = await ask();
      if (key !== null) usedKeys.add(key.keyId);
      if (!run.died) break;
    }
    expect(await enable(null)).toMatchObject({ latched: true, auto: true });
    expect(usedKeys.size).toBe(1);
    const [keyId] = usedKeys;
    const facts = await (await keys.adminOf('aws-kms')).describe(keyId ?? '');
    expect(facts).toMatchObject({
      aliases: [`alias/tidemark/${iid}`],
      rotation: { enabled: true },
    });
    expect(await readTdeMarker({ ...ports, iid })).toMatchObject({ keyId, provider: 'aws-kms' });
  });

  it('records nothing for a key that is disabled, missing, or may not be opened with', async () => {
    const before = store.keys();
    const disabled = await server.createKey();
    await server.disableKey(disabled);
    expect(await rejection(enable(disabled))).toMatchObject({ code: 'TM_KEY_DISABLED' });
    const none = disabled.replace(/[^/]+$/, '00000000-0000-0000-0000-000000000000');
    expect(await rejection(enable(none))).toMatchObject({ code: 'TM_KEY_MISSING' });
    refuse(proxy, 'Decrypt');
    const denied = await rejection(enable(await server.createKey()));
    expect(denied).toMatchObject({ code: 'TM_KEY_DENIED', context: { actions: 'kms:Decrypt' } });
    expect(store.keys()).toEqual(before);
    expect(await ask()).toMatchObject({ state: 'disabled' });
  });

  it('stays modifying when the canary cannot be opened, and goes on later', async () => {
    const key = await server.createKey();
    const dying = store.through(({ op, key: path }) =>
      op === 'put' && path.startsWith(tdePrefix(iid))
        ? { before: () => void refuse(proxy, 'Decrypt') }
        : undefined,
    );
    expect(await rejection(enable(key, dying))).toMatchObject({ code: 'TM_KEY_DENIED' });
    expect(await ask()).toMatchObject({ state: 'modifying', latched: false });
    expect(store.keys(tdeMarkerKey(iid))).toEqual([]);
    proxy.rules.length = 0;
    // Nothing is latched yet: the owner may choose another key.
    const other = await server.createKey();
    expect(await enable(other)).toMatchObject({ latched: true, key: { keyId: other } });
  });
});
