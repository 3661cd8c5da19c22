import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json } from '../../../services/control/src/jobs/job.ts';
import { CloneBench } from '../../support/control-clone/clone-bench.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { TestCa } from '../../support/tls/certificates.ts';
import { TlsServer } from '../../support/tls/tls-server.ts';

let bench: CloneBench;
let target: RedisServer;

beforeAll(async () => {
  bench = await CloneBench.open();
  target = await startRedis({ aof: false });
  const client = await bench.archive.server.connect();
  await client.mset('a', '1', 'b', '2');
  await bench.settled();
});

afterAll(async () => {
  await target[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

const REQUEST = { source: { kind: 'latest' }, name: 'copy', target: { kind: 'hook' } } as const;

/** A hook that notes what it is asked; `provision` is a line of shell. */
async function hook(
  provision: string,
  { timeout = '20s', port = target.port }: { timeout?: string; port?: number } = {},
): Promise<void> {
  const path = join(bench.archive.dir, 'hook.sh');
  const notes = join(bench.archive.dir, 'asked');
  await writeFile(notes, '');
  const script = `#!/bin/sh
read -r asked
printf '%s\\n' "$asked" >> '${notes}'
case "$asked" in
*'"action":"provision"'*) ${provision} ;;
*) echo '{}' ;;
esac
`;
  await writeFile(path, script);
  await chmod(path, 0o700);
  const range = `127.0.0.1:${port}`;
  await bench.configure({ allowTargets: [range], hook: path, hookTimeout: timeout });
}

const asked = async (): Promise<readonly Readonly<Record<string, unknown>>[]> =>
  (await readFile(join(bench.archive.dir, 'asked'), 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('a server that a hook makes', () => {
  it('is told what is wanted, and keeps the data that were asked for', async () => {
    await hook(`echo '{"url":"redis://127.0.0.1:${target.port}"}'`);
    const { error, job } = await bench.clone(REQUEST);
    expect(error).toBeNull();
    const client = await target.connect();
    expect(await client.mget('a', 'b')).toEqual(['1', '2']);
    expect(await asked()).toMatchObject([
      { version: 1, action: 'provision', id: job.id, instance: 'orders', name: 'copy' },
    ]);
    await client.flushall();
  });

  it('that fails is released, and told as it is', async () => {
    await hook(`echo no room >&2; exit 3`);
    const { error, job } = await bench.clone(REQUEST);
    expect(error).toMatchObject({ code: 'TM_PROVISION' });
    expect((await asked()).at(-1)).toMatchObject({ action: 'release', id: job.id });
  });

  it('is refused and released before it is loaded, where no rule lets it under protection', async () => {
    await hook(`echo '{"url":"redis://127.0.0.1:${target.port}"}'`);
    const client = await target.connect();
    // Loading it would give it another history.
    const history = async (): Promise<string | undefined> =>
      /master_replid:\w+/.exec(await client.info('replication'))?.[0];
    const before = await history();
    const { error, job } = await bench.clone({ ...REQUEST, register: true });
    expect(error).toMatchObject({
      code: 'TM_TARGET_DENIED',
      hint: expect.stringContaining('[server] allow_sources') as unknown,
    });
    expect((await asked()).at(-1)).toMatchObject({ action: 'release', id: job.id });
    expect(await history()).toBe(before);
  });

  it.each([
    ['prints nothing', `true`, 'TM_PROVISION'],
    ['prints no address', `echo '{"host":"x"}'`, 'TM_PROVISION'],
    ['prints 100 MB', `head -c 100000000 /dev/zero`, 'TM_PROVISION'],
    [
      'names a server that is not allowed',
      `echo '{"url":"redis://127.0.0.1:1"}'`,
      'TM_TARGET_DENIED',
    ],
    ['leads to metadata', `echo '{"url":"redis://169.254.169.254"}'`, 'TM_TARGET_DENIED'],
    ['names a file', `echo '{"url":"unix:///run/x.sock"}'`, 'TM_TARGET_DENIED'],
    ['holds a password in its address', `echo '{"url":"redis://u:p@127.0.0.1"}'`, 'TM_USAGE'],
  ])('that %s gives no server: %s, %s', async (_, provision, code) => {
    await hook(provision);
    const { provisioners } = await bench.parts();
    const wanted = { ...{ id: 'job-x', instance: 'orders', name: 'copy', passwordRef: null } };
    const size = { closed: false, memoryBytes: 0, maxmemory: 0, databases: 16 };
    const target = { kind: 'hook', tls: null } as const;
    const context = { signal: new AbortController().signal, log: () => undefined };
    await expect(
      provisioners.of('hook').provision({ ...wanted, ...size, target }, context),
    ).rejects.toMatchObject({ code });
  });

  it('is spoken to over TLS where it says so, by its name and its authority only', async () => {
    const ca = await TestCa.create('CA');
    const certificate = await ca.issue({ dns: ['made.internal'], ips: [] });
    await bench.secret('ca.pem', ca.cert);
    await bench.secret('wrong.pem', (await TestCa.create('Other')).cert);
    await using made = await TlsServer.start({ certificate, trusted: [ca.cert], clients: 'no' });
    const client = await made.connect();
    await client.config('SET', 'tls-replication', 'no'); // it is fed over the loopback
    const url = `rediss://127.0.0.1:${made.tlsPort.toString()}`;
    await hook(`echo '{"url":"${url}"}'`, { port: made.tlsPort });
    const into = (tls: Json): Json => ({ ...REQUEST, target: { kind: 'hook', tls } });
    for (const tls of [
      { ca: ['wrong.pem'], serverName: 'made.internal' },
      { ca: ['ca.pem'], serverName: 'other.internal' },
    ]) {
      const { error, job } = await bench.clone(into(tls));
      expect(error).toMatchObject({ code: expect.stringMatching(/^TM_TLS/) as unknown });
      expect((await asked()).at(-1)).toMatchObject({ action: 'release', id: job.id });
    }
    const right = { ca: ['ca.pem'], serverName: 'made.internal' };
    const { error, outcome } = await bench.clone(into(right));
    expect(error).toBeNull();
    expect(outcome?.result).toMatchObject({ url, tls: true, owner: 'hook' });
    expect(await client.mget('a', 'b')).toEqual(['1', '2']);
  });

  it('that hangs is killed with all that it started', async () => {
    await hook(`sleep 600 & echo $! > '${join(bench.archive.dir, 'child')}'; wait`, {
      timeout: '1s',
    });
    const { error } = await bench.clone(REQUEST);
    expect(error).toMatchObject({ code: 'TM_PROVISION', context: { reason: 'timeout' } });
    const child = Number(await readFile(join(bench.archive.dir, 'child'), 'utf8'));
    await waitFor(() => !isAlive(child));
    expect((await asked()).map(({ action }) => action)).toEqual(['provision', 'release']);
  });

  it('that is not empty stays as it is, and is released', async () => {
    const client = await target.connect();
    await client.set('mine', '1');
    await hook(`echo '{"url":"redis://127.0.0.1:${target.port}"}'`);
    const { error } = await bench.clone(REQUEST);
    expect(error).toMatchObject({ code: 'TM_TARGET_NOT_EMPTY' });
    expect(await client.get('mine')).toBe('1');
    expect((await asked()).at(-1)).toMatchObject({ action: 'release' });
    await client.flushall();
  });

  it('is called off while it runs', async () => {
    await hook('sleep 600');
    const cancel = new AbortController();
    const done = bench.clone(REQUEST, cancel.signal);
    await waitFor(async () => (await asked()).length > 0);
    cancel.abort(new Error('called off'));
    expect((await done).error?.message).toBe('called off');
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
