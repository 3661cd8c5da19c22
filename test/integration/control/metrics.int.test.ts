import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInstance, openInstanceLog } from '@tidemark/catalog';
import { openControl, type Control } from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Clock } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { openApi } from '../../../services/control/src/serve-api.ts';
import { describeWithPromtool } from '../../support/promtool.ts';
import { familiesOf, samplesOf, valueOf } from '../../support/scrape.ts';
import { Tidemark } from '../../support/tidemark-cli.ts';

const PATIENCE_MS = 60_000;
const QUIET = { info: () => undefined, warn: () => undefined, error: () => undefined };
const logger = { ...QUIET, child: () => logger };

interface Served extends AsyncDisposable {
  readonly tidemark: Tidemark;
  readonly control: Control;
  readonly url: string;
  /** What is remembered of the past is older by so much. */
  pass(ms: number): void;
}

/** The API of a workspace, in this process, on a port of its own. */
async function serve(
  prepare: (dir: string) => Promise<void> = () => Promise.resolve(),
): Promise<Served> {
  const tidemark = await Tidemark.init([], '\n[auth]\nmode = "none"\n');
  await prepare(tidemark.dir);
  let passedMs = 0;
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => systemClock.monotonicMs() + passedMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
  };
  const control = await openControl({
    ...{ configPath: tidemark.config, clock, random: systemRandom, logger },
  });
  await control.metrics.begin();
  const settings = { ...control.workspace.config.api, listen: { host: '127.0.0.1', port: 0 } };
  const api = await openApi(control, settings, { eventLoopMs: PATIENCE_MS });
  const url = await api.listen();
  return {
    ...{ tidemark, control, url },
    pass: (ms) => void (passedMs += ms),
    async [Symbol.asyncDispose]() {
      await api.drain();
      await control[Symbol.asyncDispose]();
      await tidemark[Symbol.asyncDispose]();
    },
  };
}

/** Puts an instance on record. */
async function addInstance({ workspace, clock, random }: Control): Promise<void> {
  const { store, keys } = workspace;
  const logKey = await keys.logKey('orders');
  const createdMs = clock.nowMs();
  await createInstance({ store, iid: 'orders', name: 'orders', logKey, clock, random, createdMs });
  await workspace.sync(new AbortController().signal);
}

interface Ready {
  readonly status: number;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

async function ready(url: string): Promise<Ready> {
  const answer = await fetch(`${url}/readyz`);
  const body = (await answer.json()) as Readonly<Record<'reasons' | 'notes', { code: string }[]>>;
  const codes = (name: 'reasons' | 'notes'): string[] => body[name].map(({ code }) => code);
  return { status: answer.status, reasons: codes('reasons'), notes: codes('notes') };
}

async function until(url: string, holds: (ready: Ready) => boolean): Promise<Ready> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const now = await ready(url);
    if (holds(now)) return now;
    if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(now)}`);
    await systemClock.sleep(50);
  }
}

describe('health and metrics of the API', () => {
  it('readiness turns with a store that is away and back, liveness does not', async () => {
    await using served = await serve();
    const { url, tidemark, control } = served;
    await addInstance(control);
    await until(url, ({ status }) => status === 200);

    // As a mount that is gone: what lies there is empty.
    const store = join(tidemark.dir, 'store');
    await rename(store, `${store}.away`);
    await mkdir(store);
    served.pass(60_000);
    await until(url, ({ reasons }) => reasons.includes('store-away'));
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(200); // what is known is shown without it

    await rm(store, { recursive: true });
    await rename(`${store}.away`, store);
    served.pass(60_000);
    await until(url, ({ status }) => status === 200);
  });

  it('readiness turns while a damaged database of jobs is made anew, and says so afterwards', async () => {
    await using served = await serve(async (dir) => {
      await mkdir(join(dir, 'state'), { recursive: true });
      await writeFile(join(dir, 'state/control.db'), Buffer.alloc(64 * 1024, 'damage'), {
        mode: 0o600,
      });
    });
    const { url, control } = served;
    const first = await ready(url);
    expect(first.status).toBe(503);
    expect(first.reasons).toContain('state-replaced');
    const over = new AbortController();
    const running = control.run(over.signal, { workers: false, scheduler: false });
    try {
      const now = await until(url, ({ status }) => status === 200);
      expect(now.notes).toContain('state-replaced');
    } finally {
      over.abort(new Error('the test is over'));
      await running.catch(() => undefined);
    }
  });

  it("an instance that was removed is in nobody's numbers but for what it takes in the store", async () => {
    await using served = await serve();
    const { workspace, clock, random } = served.control;
    await addInstance(served.control);
    const of = async (): Promise<readonly string[]> => {
      served.pass(PATIENCE_MS);
      const text = await (await fetch(`${served.url}/metrics`)).text();
      return text.split('\n').filter((line) => line.includes('instance="orders"'));
    };
    const logKey = await workspace.keys.logKey('orders');
    const ports = { store: workspace.store, iid: 'orders', logKey, clock, random };
    const log = await openInstanceLog(ports);
    const writer = { shard: '0', writer: 'w-1', source: 'psync' } as const;
    await log.append(() => ({ type: 'WriterRegistered', ...writer, atMs: clock.nowMs() }));
    expect((await of()).join('\n')).toContain('tidemark_backups{');
    await log.append(() => ({ type: 'InstanceRemoved', atMs: clock.nowMs() }));
    await of(); // some numbers are worked out before the log is read
    const names = (await of()).map((line) => line.slice(0, line.indexOf('{')));
    expect([...new Set(names)]).toEqual(['tidemark_repo_bytes']);
  });

  it('answers are counted by the pattern of their route, whatever is asked for', async () => {
    await using served = await serve();
    const { url } = served;
    for (const path of ['/healthz', '/v1/instances/secret-name/windows', '/no/such/secret-name']) {
      await (await fetch(url + path)).text();
    }
    const text = await (await fetch(`${url}/metrics`)).text();
    const samples = samplesOf(text);
    const count = 'tidemark_http_request_duration_seconds_count';
    expect(valueOf(samples, count, { route: '/healthz', status: '200' })).toBe(1);
    expect(
      samples.filter(({ name }) => name === count).map(({ labels }) => labels['status']),
    ).toContain('404');
    expect(text).not.toContain('secret-name');
    expect(valueOf(samples, 'tidemark_restore_jobs', { state: 'running' })).toBe(0);
    expect(
      valueOf(samples, 'tidemark_restore_jobs_total', { type: 'clone', outcome: 'failed' }),
    ).toBe(0);
    expect(
      valueOf(samples, 'tidemark_repo_operations_total', { op: 'head', outcome: 'ok' }),
    ).toBeGreaterThan(0);
  });
});

describeWithPromtool('the parser of Prometheus', (promtool) => {
  it('reads what the API answers, and finds nothing to say against it', async () => {
    await using served = await serve();
    await (await fetch(`${served.url}/healthz`)).text();
    const answer = await fetch(`${served.url}/metrics`);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await answer.text();
    expect(familiesOf(text).size).toBeGreaterThan(20);
    expect(promtool(['check', 'metrics'], text)).toBe('');
  });
});
