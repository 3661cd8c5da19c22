import { link, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { openStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect } from 'vitest';
import { manifestOf } from './aof-writer.ts';
import { ArchiverBench, type RunningArchiver } from './archiver-run.ts';
import { FaultProxy } from './fault-proxy.ts';
import { patternBytes } from './pattern.ts';
import type { S3Server } from './s3-servers.ts';

/** Of the log between two writes, and how often there is one: about 200 KB a second. */
const VALUE_BYTES = 1_000;
const BATCH = 4;
const PAUSE_MS = 20;
/** Pins of what was read go after this long, so that only the spool has it. */
const PIN_AGE_MS = 6_000;

/** What an outage showed. */
export interface OutageReport {
  readonly writtenBytes: number;
  readonly backlogBytes: number;
  readonly backlogSeconds: number;
  readonly segments: number;
  readonly drainMs: number;
}

/**
 * Takes the S3 server of an archiver away for so long while its node is written to and rewrites its
 * log; then everything must be in the store in order, in one timeline without a hole.
 */
export async function expectOutageSurvived(server: S3Server, ms: number): Promise<OutageReport> {
  await using proxy = await FaultProxy.start(server.endpoint);
  const settings = server.settings({ endpoint: proxy.url, prefix: 'outage' });
  const s3Limits = { answerMs: 5_000, pauseMs: 50, attempts: 2 };
  const ports = { random: systemRandom, clock: systemClock, s3Limits };
  const config = { 'auto-aof-rewrite-percentage': '0' };
  await using bench = await ArchiverBench.open({ config, store: await openStore(settings, ports) });
  const limits = { rollMaxAgeMs: 500, rollMaxBytes: 256 * 1024, pinAgeMaxMs: PIN_AGE_MS };
  const archiver = await bench.begin({ limits: { ...limits, requestRewrites: false } });
  const client = await bench.server.connect();
  const over = new AbortController();
  const load = writeUntil(client, over.signal);
  const before = join(bench.server.dir, 'before-the-rewrite');
  try {
    await systemClock.sleep(1_000);
    proxy.down = true;
    const since = performance.now();
    await systemClock.sleep(ms / 5);
    await link(join(bench.server.aofDir, manifestOf(bench.server).incr.at(-1)!.name), before);
    await client.bgrewriteaof();
    let [bytes, seconds] = [0, 0];
    while (performance.now() - since < ms) {
      await systemClock.sleep(500);
      const { backlogBytes, backlogSeconds, failure } = await archiver.status();
      expect(failure).toBeNull();
      bytes = Math.max(bytes, backlogBytes);
      seconds = Math.max(seconds, backlogSeconds ?? 0);
    }
    expect((await archiver.status()).storeError).not.toBeNull();
    expect(proxy.count({ method: 'PUT' })).toBeGreaterThan(0);
    proxy.down = false;
    const backAt = performance.now();
    over.abort();
    await load;
    await drained(archiver);
    const drainMs = performance.now() - backAt;
    await archiver.ask('roll');
    expect(await archiver.status()).toMatchObject({ storeError: null, backlogBytes: 0 });
    const segments = (await archiver.status()).segments;
    await archiver.stop();
    const written = Buffer.concat([await readFile(before), await bench.serverCommands()]);
    const stored = await bench.storedCommands();
    expect(stored.length).toBe(written.length);
    expect(stored.equals(written)).toBe(true);
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    expect(await bench.events('TimelineClosed')).toEqual([]);
    const [backlogBytes, backlogSeconds] = [bytes, seconds];
    return { writtenBytes: written.length, backlogBytes, backlogSeconds, segments, drainMs };
  } finally {
    proxy.down = false;
    over.abort();
    await load;
  }
}

/** Waits until nothing waits for the store any more. */
async function drained(archiver: RunningArchiver): Promise<void> {
  const deadline = performance.now() + 120_000;
  while ((await archiver.status()).backlogSeconds !== null) {
    if (performance.now() > deadline) throw new Error('the backlog does not drain');
    await systemClock.sleep(100);
  }
}

async function writeUntil(
  client: Awaited<ReturnType<ArchiverBench['server']['connect']>>,
  signal: AbortSignal,
): Promise<void> {
  const isOver = (): boolean => signal.aborted;
  for (let number = 0; !isOver();) {
    const pipeline = client.pipeline();
    for (let i = 0; i < BATCH; i++) {
      pipeline.set(`key:${(number % 500).toString()}`, patternBytes(VALUE_BYTES, ++number));
    }
    await pipeline.exec();
    await systemClock.sleep(PAUSE_MS);
  }
}
