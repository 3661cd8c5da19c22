import { openInstanceLog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench, INSTANCE } from '../../support/archiver-run.ts';
import { kmsError, type Fault } from '../../support/fault-proxy-faults.ts';
import { describeWithKms, GuardedKms } from '../../support/kms-server.ts';
import { patternBytes } from '../../support/pattern.ts';

beforeAll(buildAof);

/** Long pauses are short. */
const impatientClock: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) => systemClock.sleep(Math.min(delayMs, 300), signal),
};

/** Generous: pauses between tries grow. */
const PATIENCE = { timeout: 90_000, interval: 50 };

let number = 0;
async function write(client: Redis, count = 100): Promise<void> {
  const pipeline = client.pipeline();
  for (let i = 0; i < count; i++) pipeline.set(`key:${i}`, patternBytes(10, ++number));
  await pipeline.exec();
}

/** Every byte of the server's log is stored, and opens for whoever may open it. */
async function expectWhole(bench: ArchiverBench): Promise<void> {
  const [stored, written] = [await bench.storedCommands(), await bench.serverCommands()];
  expect(stored.equals(written)).toBe(true);
}

/** What the archivers have asked the key service for, each once. */
function asked({ proxy }: GuardedKms): readonly string[] {
  return [...new Set(proxy.requests.map(({ target }) => target ?? ''))];
}

describeWithKms('an archiver that may make data keys and open none', () => {
  let kms: GuardedKms;
  beforeAll(async () => {
    kms = await GuardedKms.start();
  });
  afterAll(() => kms[Symbol.asyncDispose]());
  beforeEach(() => {
    kms.proxy.rules.length = 0;
    kms.proxy.requests.length = 0;
  });

  it('captures, rolls, backs up, and the next one goes on', async () => {
    await using bench = await ArchiverBench.open({ keys: kms });
    const client = await bench.server.connect();
    const first = await bench.begin();
    await write(client);
    await first.ask('roll');
    await expectWhole(bench);
    await write(client);
    const { from } = (await first.ask('backup')) as { readonly from: string };
    expect(from).toBeDefined();
    expect(await bench.events('SnapshotStored')).toHaveLength(2);
    await write(client);
    await first.stop();
    const second = bench.start({ state: 'other-host' });
    await second.until('caught-up');
    await write(client);
    await second.ask('roll');
    const [stored, written] = [await bench.storedCommands(), await bench.serverCommands()];
    expect(stored.subarray(-written.length).equals(written)).toBe(true); // those since the backup
    expect(asked(kms)).toEqual(['TrentService.GenerateDataKey']);
    expect(bench.keys.name).toBe('aws-kms');
  });

  it('has said in the log which key wraps, before the first data key was wrapped', async () => {
    await using bench = await ArchiverBench.open({ keys: kms });
    const { proxy, keyId } = kms;
    proxy.rules.push({
      match: { target: /GenerateDataKey/ },
      fault: kmsError('AccessDeniedException'),
      times: Infinity,
    });
    const archiver = bench.start({ clock: impatientClock });
    await vi.waitFor(
      () => expect(proxy.count({ target: /GenerateDataKey/ })).toBeGreaterThan(0),
      PATIENCE,
    );
    const logKey = await bench.keys.logKey(INSTANCE);
    const ports = { clock: systemClock, random: systemRandom };
    const log = await openInstanceLog({ store: bench.store, iid: INSTANCE, logKey, ...ports });
    expect(log.state.keys).toEqual([{ provider: 'aws-kms', keyId }]);
    await archiver.stop().catch(() => undefined);
  });

  const away: readonly (readonly [string, Fault])[] = [
    ['is not there', { kind: 'reset', apply: false }],
    ['has the key disabled', kmsError('DisabledException')],
    ['denies', kmsError('AccessDeniedException')],
  ];

  it.each(away)(
    'stores nothing while the key service %s, says so, and loses nothing',
    async (_, fault) => {
      await using bench = await ArchiverBench.open({ keys: kms });
      const { proxy } = kms;
      const client = await bench.server.connect();
      const rule = { match: { target: /GenerateDataKey/ }, fault, times: Infinity };
      proxy.rules.push(rule);
      const archiver = bench.start({ clock: impatientClock });
      await vi.waitFor(() => expect(proxy.struck(rule)).toBeGreaterThan(0), PATIENCE);
      await write(client);
      await vi.waitFor(async () => {
        expect((await archiver.status()).storeError).toContain('key service');
      }, PATIENCE);
      expect(await bench.events('SegmentStored', 'SnapshotStored')).toEqual([]);
      proxy.rules.splice(proxy.rules.indexOf(rule), 1);
      await vi.waitFor(async () => {
        expect(await bench.events('SnapshotStored')).toHaveLength(1);
      }, PATIENCE);
      await write(client);
      await archiver.ask('roll');
      await expectWhole(bench);
      expect(asked(kms)).toEqual(['TrentService.GenerateDataKey']);
    },
  );
});
