import { performance } from 'node:perf_hooks';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { ArchiverMetrics } from '../../../services/archiver/src/metrics/archiver-metrics.ts';
import { openOperationsServer } from '../../../services/archiver/src/metrics/operations-server.ts';
import type { Logger } from '../../../services/archiver/src/logger.ts';
import { ArchiverBench, INSTANCE, type CaptureOf, waitFor } from '../../support/archiver-run.ts';
import { describeWithPromtool } from '../../support/promtool.ts';
import { samplesOf, valueOf, type ScrapedSample } from '../../support/scrape.ts';

const LIMITS = { rollMaxAgeMs: 300, heartbeatMs: 1_000 };
const STALL_MS = 3_000;
const PATIENCE_MS = 60_000;

interface Shown extends AsyncDisposable {
  readonly bench: ArchiverBench;
  readonly url: string;
  readonly metrics: ArchiverMetrics;
}

/** A real server, an archiver of it, and its listener. */
async function show(source: CaptureOf = 'aof'): Promise<Shown> {
  const bench = await ArchiverBench.open({ source });
  const said: Record<string, unknown> = {};
  const logger: Logger = {
    info: (message, fields = {}) => void (said[message] = fields),
    warn: (message, fields = {}) => void (said[message] = fields),
    error: (message, fields = {}) => void (said[message] = fields),
    child: () => logger,
  };
  const metrics = await ArchiverMetrics.open(
    { listen: { host: '127.0.0.1', port: 0 }, retainSeconds: 86_400, stallMs: STALL_MS },
    {
      ...{ stateDir: bench.stateDir(), spoolBytesMax: 1 << 30, clock: systemClock, logger },
      limits: {
        ...LIMITS,
        rollMaxBytes: 1 << 23,
        pinBytesMax: 1 << 30,
        pinAgeMaxMs: 1,
        requestRewrites: true,
      },
    },
  );
  const archiver = await bench.begin({ limits: LIMITS, metrics });
  const captures = (): ReturnType<typeof archiver.captures> => archiver.captures();
  const server = await metrics.serve({ captures, store: bench.store, keys: bench.keys });
  const { port } = said['metrics'] as { readonly port: number };
  return {
    ...{ bench, metrics, url: `http://127.0.0.1:${port.toString()}` },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

interface Ready {
  readonly status: number;
  readonly codes: readonly string[];
}

async function ready(url: string): Promise<Ready> {
  const answer = await fetch(`${url}/readyz`);
  const { reasons } = (await answer.json()) as { readonly reasons: readonly { code: string }[] };
  return { status: answer.status, codes: reasons.map(({ code }) => code) };
}

/** Waits for an answer; how long it took, in milliseconds. */
async function until(url: string, holds: (ready: Ready) => boolean): Promise<number> {
  const since = performance.now();
  for (;;) {
    const now = await ready(url);
    const ms = performance.now() - since;
    if (holds(now)) return ms;
    if (ms > PATIENCE_MS) throw new Error(`still ${JSON.stringify(now)}`);
    await systemClock.sleep(50);
  }
}

const isReady = ({ status }: Ready): boolean => status === 200;

async function scrape(url: string): Promise<readonly ScrapedSample[]> {
  const answer = await fetch(`${url}/metrics`);
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return samplesOf(await answer.text());
}

describe('the metrics of an archiver', () => {
  it('readiness turns with a frozen node and with a store that is away, liveness with neither', async () => {
    await using shown = await show();
    const { bench, url } = shown;
    await until(url, isReady);

    process.kill(bench.server.pid, 'SIGSTOP');
    try {
      await until(url, ({ codes }) => codes.includes('stalled'));
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
    } finally {
      process.kill(bench.server.pid, 'SIGCONT');
    }
    await until(url, isReady);

    bench.store.down = true;
    await until(url, ({ codes }) => codes.includes('store-away'));
    await until(url, ({ codes }) => codes.includes('stalled'));
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const samples = await scrape(url); // what is known is shown without the store
    expect(
      valueOf(samples, 'tidemark_repo_operations_total', { op: 'put', outcome: 'error' }),
    ).toBeGreaterThan(0);
    bench.store.down = false;
    await until(url, isReady);
  });

  it('the numbers are those of the log, and no name of a key is among them', async () => {
    await using shown = await show();
    const { bench, url } = shown;
    const client = await bench.server.connect();
    for (let i = 0; i < 100; i++)
      await client.set(`odd-key-${i.toString()}`, `odd-value-${i.toString()}`);
    // What the catalog says is read once a minute: by then there has to be a window.
    const second = Math.floor(Date.now() / 1000);
    await waitFor(async () => {
      await client.set('odd-key-0', 'odd-value-0');
      return (await bench.events('SegmentStored')).some(
        (event) => event.type === 'SegmentStored' && (event.provenTo ?? 0) > second,
      );
    });
    await until(url, isReady);
    const labels = { instance: INSTANCE, shard: '0' };
    let samples = await scrape(url);
    const deadline = performance.now() + PATIENCE_MS;
    const commands = (): number => valueOf(samples, 'tidemark_archive_commands_total', labels) ?? 0;
    while (commands() < 100 && performance.now() < deadline) {
      await systemClock.sleep(100);
      samples = await scrape(url);
    }
    const of = (name: string, more = {}): number | undefined =>
      valueOf(samples, `tidemark_${name}`, { ...labels, ...more });
    expect(commands()).toBeGreaterThanOrEqual(100);
    expect(of('instance_up')).toBe(1);
    expect(of('archive_bytes_total', { stage: 'raw' })).toBeGreaterThan(3_000);
    expect(of('archive_bytes_total', { stage: 'stored' })).toBeGreaterThan(0);
    expect(of('archive_lag_seconds')).toBeLessThan(60);
    expect(of('backups', { state: 'stored' })).toBe(1);
    expect(of('backup_last_success_timestamp_seconds', { mode: 'attach' })).toBeGreaterThan(1.7e9);
    expect(of('recoverable_ratio')).toBe(1);
    // Both are read at one scrape, though not at one instant.
    const latest = of('recoverable_latest_timestamp_seconds') ?? 0;
    expect(Math.abs(latest - (of('archive_last_second_timestamp_seconds') ?? 0))).toBeLessThan(60);
    expect(latest).toBeGreaterThanOrEqual(of('recoverable_earliest_timestamp_seconds') ?? Infinity);
    expect(of('spool_limit_bytes')).toBe(1 << 30);
    expect(of('archive_gaps_total', { reason: 'backlog-overrun' })).toBe(0);
    expect(of('archive_reconnects_total')).toBeUndefined(); // it is captured from its files
    expect(
      valueOf(samples, 'tidemark_repo_operations_total', { op: 'put', outcome: 'ok' }),
    ).toBeGreaterThan(2);
    expect(JSON.stringify(samples)).not.toMatch(/odd-key|odd-value/);
  });

  it('a capture by replication shows its link', async () => {
    await using shown = await show('psync');
    await until(shown.url, isReady);
    await (await shown.bench.server.connect()).set('a', 'b');
    let samples = await scrape(shown.url);
    const deadline = performance.now() + PATIENCE_MS;
    const offset = (): number => valueOf(samples, 'tidemark_archive_repl_offset') ?? 0;
    while (offset() === 0 && performance.now() < deadline) {
      await systemClock.sleep(50);
      samples = await scrape(shown.url);
    }
    expect(offset()).toBeGreaterThan(0);
    expect(valueOf(samples, 'tidemark_archive_reconnects_total', { kind: 'full' })).toBe(1);
    expect(valueOf(samples, 'tidemark_spool_limit_bytes')).toBe(2 * (1 << 30));
  });

  it('the listener answers three paths, and nobody holds it up', async () => {
    await using server = await openOperationsServer(
      { host: '127.0.0.1', port: 0 },
      {
        exposition: () => Promise.reject(new Error('broken')),
        readiness: () => ({ reasons: [], notes: [] }),
      },
    );
    const url = `http://127.0.0.1:${server.port.toString()}`;
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect((await fetch(`${url}/healthz`, { method: 'POST' })).status).toBe(405);
    expect((await fetch(`${url}/healthz`, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(500);
    expect((await fetch(`${url}/readyz?verbose`)).status).toBe(200);
    const taken = { host: '127.0.0.1', port: server.port };
    const operations = {
      exposition: () => Promise.reject(new Error('')),
      readiness: () => ({ reasons: [], notes: [] }),
    };
    await expect(openOperationsServer(taken, operations)).rejects.toMatchObject({
      code: 'TM_LISTEN',
    });
  });
});

describeWithPromtool('the parser of Prometheus', (promtool) => {
  it('reads the exposition of an archiver, and finds nothing to say against its names', async () => {
    await using shown = await show('psync');
    await until(shown.url, isReady);
    const text = await (await fetch(`${shown.url}/metrics`)).text();
    expect(promtool(['check', 'metrics'], text)).toBe('');
  });
});
