import { join } from 'node:path';
import { parseWrappedDataKey, type KeyProviders, type WrappingKey } from '@tidemark/crypto';
import { rewrapKeys, shredKeys, type RewrapReport } from '@tidemark/restorer';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { standingClock } from '../../support/crypto-ports.ts';
import { DamageBench } from '../../support/damage/damage-bench.ts';
import { TINY_INSTANCE } from '../../support/damage/tiny-archive.ts';
import { kmsError } from '../../support/fault-proxy-faults.ts';
import { openTestKeys } from '../../support/kms-keys.ts';
import { describeWithKms, GuardedKms } from '../../support/kms-server.ts';
import { TempDir } from '../../support/temp-dir.ts';

const NEVER = new AbortController().signal;
const DATA_KEYS = 3;

describeWithKms('rewrapping with a key service', () => {
  let kms: GuardedKms;
  let dir: TempDir;
  let bench: DamageBench;
  let keys: KeyProviders;
  beforeAll(async () => {
    kms = await GuardedKms.start();
    dir = await TempDir.create('tidemark-rewrap-kms-');
    bench = await DamageBench.build('kms', dir.path);
    const ring = join(dir.path, 'ring');
    keys = await openTestKeys(kms.server.settings(ring, kms.keyId, kms.proxy.url));
    bench.provider = keys;
  });
  afterAll(async () => {
    await dir[Symbol.asyncDispose]();
    await kms[Symbol.asyncDispose]();
  });

  const aws = (keyId: string): WrappingKey => ({ provider: 'aws-kms', keyId });
  const wrappedBy = (): string[] =>
    bench.store
      .keys('v1/keys/')
      .map((key) => parseWrappedDataKey(bench.store.objects.get(key)!).keyId);

  async function rewrap(target: WrappingKey): Promise<RewrapReport> {
    const log = await bench.instanceLog();
    await log.append(({ keys: known }) =>
      known.some(({ keyId }) => keyId === target.keyId)
        ? null
        : { type: 'KeyAdopted', ...target, atMs: 1 },
    );
    keys.directory.set(TINY_INSTANCE, { wrapWith: null, allowed: log.state.keys });
    const options = { instance: TINY_INSTANCE, target, store: bench.store, keys, log };
    return rewrapKeys({ ...options, signal: NEVER, onProgress: () => undefined });
  }

  async function expectRestorable(): Promise<void> {
    await bench.dryRun();
    await bench.dryRunOf({ kind: 'backup', backup: 'bk-1' });
    expect((await bench.verify()).faults).toEqual([]);
  }

  /** Actions that the key service was asked for while work ran. */
  async function askedDuring(work: () => Promise<unknown>): Promise<readonly string[]> {
    const from = kms.proxy.requests.length;
    await work();
    const asked = kms.proxy.requests.slice(from).map(({ target }) => target ?? '');
    return [...new Set(asked)].sort().map((target) => target.replace('TrentService.', ''));
  }

  it('takes keys from the ring into the service', async () => {
    const report = { rewrapped: DATA_KEYS, removed: DATA_KEYS, untested: 0, faultCount: 0 };
    expect(await rewrap(aws(kms.keyId))).toMatchObject(report);
    expect(wrappedBy()).toEqual(Array.from({ length: DATA_KEYS }, () => kms.keyId));
    await expectRestorable();
  });

  it('goes to another key by ReEncrypt, and keeps what is older where it may not decrypt', async () => {
    const second = await kms.server.createKey();
    kms.proxy.rules.push({
      match: { target: /Decrypt$/ },
      fault: kmsError('AccessDeniedException'),
      times: Infinity,
    });
    const asked = await askedDuring(async () => {
      expect(await rewrap(aws(second))).toMatchObject({
        ...{ rewrapped: DATA_KEYS, untested: DATA_KEYS, removed: 0, faultCount: 0 },
      });
    });
    expect(asked).toEqual(['Decrypt', 'ReEncrypt']);
    kms.proxy.rules.length = 0;
    expect(wrappedBy().sort()).toEqual(
      [kms.keyId, kms.keyId, kms.keyId, second, second, second].sort(),
    );
    await expectRestorable();
    expect(await rewrap(aws(second))).toMatchObject({
      ...{ rewrapped: 0, present: DATA_KEYS, untested: 0, removed: DATA_KEYS },
    });
    expect(wrappedBy()).toEqual([second, second, second]);
    await expectRestorable();
    expect(await askedDuring(() => rewrap(aws(second)))).toEqual([]);
  });

  it('ends when the service is away, and is done when it is run again', async () => {
    const third = await kms.server.createKey();
    kms.proxy.rules.push({
      match: { target: /ReEncrypt$/ },
      fault: kmsError('KMSInternalException', { status: 500 }),
      times: Infinity,
    });
    await expect(rewrap(aws(third))).rejects.toMatchObject({
      code: 'TM_KEY_SERVICE',
      exitCode: 16,
    });
    kms.proxy.rules.length = 0;
    await expectRestorable();
    expect(await rewrap(aws(third))).toMatchObject({ keys: DATA_KEYS, faultCount: 0 });
    expect(wrappedBy()).toEqual([third, third, third]);
    await expectRestorable();
  });

  it('destroyed keys are refused with their own error; the service is not asked', async () => {
    const log = await bench.instanceLog();
    const options = { instance: TINY_INSTANCE, dekIds: null, store: bench.store, log };
    const clock = standingClock(Date.now());
    await shredKeys({ ...options, clock, signal: NEVER, onProgress: () => undefined });
    const asked = await askedDuring(async () => {
      await expect(bench.dryRun()).rejects.toMatchObject({ code: 'TM_KEY_SHREDDED', exitCode: 12 });
    });
    expect(asked).toEqual([]);
  });
});
