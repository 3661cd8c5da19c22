import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.ts';
import { samplesOf, valueOf } from '../../support/scrape.ts';
import { runTidemark, Tidemark } from '../../support/tidemark-cli.ts';

const PATIENCE_MS = 90_000;
/** Words that stand nowhere but in what must not be logged. */
const KEY = 'zebra"\u0001\n\u00ff key';
const VALUE = 'walrus\u0000"{}\n value';
const PASSWORD = 'Badger-7781-pass';
const TARGET_PASSWORD = 'Heron-2290-pass';
const SECRETS = /zebra|walrus|Badger|Heron/i;

/** A service, and every line that it writes to standard error. */
class Service implements AsyncDisposable {
  readonly #child: ChildProcess;
  said = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.said += text));
    child.stdout?.resume();
  }

  get lines(): readonly Record<string, unknown>[] {
    const lines = this.said.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits for a line with a message. */
  async until(message: string): Promise<Record<string, unknown>> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const whole = this.said.slice(0, this.said.lastIndexOf('\n') + 1);
      const found = whole
        .split('\n')
        .find((line) => line.includes(`"msg":${JSON.stringify(message)}`));
      if (found !== undefined) return JSON.parse(found) as Record<string, unknown>;
      if (performance.now() > deadline) throw new Error(`no ${message} in: ${this.said}`);
      await systemClock.sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

async function post(
  url: string,
  token: string,
  key: string,
  body: object,
): Promise<{ id: string }> {
  const headers = {
    ...{ authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    'idempotency-key': key,
  };
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (answer.status === 202) return JSON.parse(text) as { id: string };
    // A machine that is slow makes it turn callers away for a while.
    const busy = answer.status === 503 && text.includes('overloaded');
    if (!busy || performance.now() > deadline) throw new Error(text);
    await systemClock.sleep(500);
  }
}

describe('the logs of a run', () => {
  it('are JSON lines of one shape, without a name, a value, a password or a token', async () => {
    const acl = ['default', 'on', `>${PASSWORD}`, '~*', '&*', '+@all'].join(' ');
    await using source = await startRedis({ aof: false, config: { user: acl } });
    await using target = await startRedis({ aof: false, config: { requirepass: TARGET_PASSWORD } });
    const settings = `
[restorer]
allow_targets = ["127.0.0.1:${target.port.toString()}"]
target_secrets = { target = ["127.0.0.1:${target.port.toString()}"] }
metrics_listen = "127.0.0.1:0"
[server]
listen = "127.0.0.1:0"
`;
    await using tidemark = await Tidemark.init([], settings);
    const pass = join(tidemark.dir, 'orders.pass');
    await writeFile(pass, `${PASSWORD}\n`, { mode: 0o600 });
    await mkdir(join(tidemark.dir, 'secrets'), { mode: 0o700 });
    await writeFile(join(tidemark.dir, 'secrets/target'), `${TARGET_PASSWORD}\n`, { mode: 0o600 });
    await tidemark.addByReplication('orders', source, '--pass-file', pass);
    const made = await runTidemark([
      '-c',
      tidemark.config,
      'token',
      'create',
      'me',
      '--scope',
      'restore,backup',
      '-o',
      'json',
    ]);
    const { token } = JSON.parse(made.out) as { token: string };
    const client = await source.connect({ password: PASSWORD });
    await client.set(Buffer.from(KEY, 'latin1'), VALUE);

    await using archiver = new Service(tidemark.spawn('serve', 'archiver'));
    await using api = new Service(tidemark.spawn('serve', 'api', '--no-workers'));
    await using worker = new Service(tidemark.spawn('serve', 'restorer'));
    await archiver.until('caught-up');
    const { address } = await api.until('listening');
    const { port } = await worker.until('metrics');
    await client.hset(`${KEY} two`, VALUE, VALUE);
    const url = `${String(address)}/v1/instances/orders`;
    const jobs = [await post(`${url}/backups`, token, 'key-1', {})];
    // Before the first snapshot is stored there is nothing to restore.
    await tidemark.untilProven('orders', Math.floor(Date.now() / 1000));
    jobs.push(
      await post(`${url}/restores`, token, 'key-2', {
        ...{
          restoreType: 'latest',
          filterKeys: ['zebra\\x22\\x01\\n\\xff key'],
          filterGlobs: ['walrus*'],
        },
        target: {
          ...{ kind: 'address', passwordRef: 'target', allowFlush: true },
          url: `redis://127.0.0.1:${target.port.toString()}`,
        },
      }),
    );
    const refused = await fetch(`${url}/restores/zebra?walrus=${PASSWORD}`, {
      headers: { authorization: `Bearer ${TARGET_PASSWORD}`, 'user-agent': 'zebra' },
    });
    expect(refused.status).toBeGreaterThanOrEqual(400);
    for (const { id } of jobs) {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const job = await fetch(`${String(address)}/v1/jobs/${id}`, {
          headers: { authorization: `Bearer ${token}` },
        });
        const said = await job.text();
        const { state = 'unknown' } = JSON.parse(said) as { state?: string };
        if (state === 'succeeded') break;
        expect(['unknown', 'queued', 'running'], said).toContain(state);
        if (performance.now() > deadline) throw new Error(`job ${id} is ${state}`);
        await systemClock.sleep(200);
      }
      const lines = await tidemark.run('job', 'logs', id);
      expect(lines.out + lines.err).not.toMatch(SECRETS);
    }
    const restored = await target.connect({ password: TARGET_PASSWORD });
    expect(await restored.get(Buffer.from(KEY, 'latin1'))).toBe(VALUE); // it was there to be logged
    const shown = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
    expect(shown).not.toMatch(SECRETS);
    const of = (name: string, labels: Record<string, string> = {}): number | undefined =>
      valueOf(samplesOf(shown), `tidemark_${name}`, labels);
    expect(of('restore_jobs_total', { type: 'restore', outcome: 'succeeded' })).toBe(1);
    expect(of('restore_duration_seconds_count')).toBeGreaterThan(0);
    expect(of('backup_last_status', { instance: 'orders' })).toBe(1);
    for (const service of [archiver, api, worker]) await service[Symbol.asyncDispose]();

    for (const [name, { lines, said }] of Object.entries({ archiver, api, restorer: worker })) {
      expect(lines.length, name).toBeGreaterThan(1);
      for (const line of lines) {
        expect(line, name).toMatchObject({
          service: name,
          level: expect.stringMatching(/^(info|warn|error)$/) as unknown,
          time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as unknown,
          msg: expect.stringMatching(/^[A-Za-z -]+$/) as unknown,
        });
        for (const value of Object.values(line)) expect(typeof value, said).not.toBe('object');
      }
      expect(said, name).not.toMatch(SECRETS);
      expect(said, name).not.toContain(token);
      for (const odd of [KEY, VALUE, PASSWORD, TARGET_PASSWORD, token]) {
        for (const encoding of ['base64', 'hex'] as const) {
          expect(said, name).not.toContain(Buffer.from(odd, 'latin1').toString(encoding));
        }
      }
    }
  });
});
