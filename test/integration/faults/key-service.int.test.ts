import { randomBytes } from 'node:crypto';
import type { Clock } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { beforeAll, expect, it, vi } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench } from '../../support/archiver-run.ts';
import { CanaryHoard } from '../../support/canaries/canary-hoard.ts';
import { editJson, kmsError, type Fault } from '../../support/fault-proxy-faults.ts';
import type { FaultRule } from '../../support/fault-proxy.ts';
import { describeWithKms, GuardedKms } from '../../support/kms-server.ts';

beforeAll(buildAof, 120_000);

/** Long pauses are short. */
const impatientClock: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) => systemClock.sleep(Math.min(delayMs, 300), signal),
};
const PATIENCE = { timeout: 90_000, interval: 50 };

/** What becomes of the right to make data keys in the middle of a capture. */
const FAULTS: readonly (readonly [string, Fault])[] = [
  ['is throttled', kmsError('ThrottlingException')],
  ['fails', kmsError('KMSInternalException', { status: 500 })],
  ['cuts every connection', { kind: 'reset', apply: true }],
  ['answers half', { kind: 'short' }],
  ['is denied', kmsError('AccessDeniedException')],
  ['has the key disabled', kmsError('DisabledException')],
  ['has the key pending deletion', kmsError('KMSInvalidStateException')],
  ['used another key', editJson({ KeyId: 'arn:aws:kms:us-east-1:1:key/another' })],
];

/** Bytes that compress little, so that segments are objects of their own, and canaries. */
async function write(client: Redis, hoard: CanaryHoard): Promise<void> {
  const pipeline = client.pipeline();
  for (let i = 0; i < 20; i++) pipeline.set(hoard.next(), hoard.next());
  pipeline.set('filler', randomBytes(20_000));
  await pipeline.exec();
}

describeWithKms('a key service that fails in the middle of a capture', () => {
  it('is waited for: nothing is sealed without a key, nothing lies anywhere in clear, nothing is lost', async () => {
    await using kms = await GuardedKms.start();
    await using bench = await ArchiverBench.open({ keys: kms });
    const hoard = new CanaryHoard();
    const client = await bench.server.connect();
    const limits = { rollMaxAgeMs: 100, requestRewrites: false };
    const archiver = await bench.begin({ limits, clock: impatientClock });
    for (const [what, fault] of FAULTS) {
      await write(client, hoard);
      await archiver.ask('roll');
      const rule: FaultRule = { match: { target: /GenerateDataKey/ }, fault, times: Infinity };
      kms.proxy.rules.push(rule);
      await archiver.ask('rekey'); // the next segment needs a new data key
      const before = (await bench.events('SegmentStored')).length;
      await write(client, hoard);
      await vi.waitFor(async () => {
        const { storeError, failure } = await archiver.status();
        expect(storeError ?? failure?.message ?? null, what).not.toBeNull();
        expect(kms.proxy.struck(rule), what).toBeGreaterThan(1);
      }, PATIENCE);
      expect(await bench.events('SegmentStored'), what).toHaveLength(before);
      kms.proxy.rules.splice(kms.proxy.rules.indexOf(rule), 1);
      await vi.waitFor(async () => {
        expect((await bench.events('SegmentStored')).length, what).toBeGreaterThan(before);
        expect((await archiver.status()).storeError, what).toBeNull();
      }, PATIENCE);
    }
    await vi.waitFor(async () => {
      await archiver.ask('roll');
    }, PATIENCE);
    const written = await bench.serverCommands();
    const stored = await bench.storedCommands();
    expect(stored.equals(written)).toBe(true);
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    await archiver.stop();
    const { found, files } = await hoard.searchFolder(bench.dir);
    expect(found).toEqual([]);
    expect(files).toBeGreaterThan(20);
    // The search finds what is there.
    const inClear: unknown[] = [];
    await hoard.searchBytes(written, (hit) => inClear.push(hit));
    expect(inClear.length).toBeGreaterThan(100);
  });
});
