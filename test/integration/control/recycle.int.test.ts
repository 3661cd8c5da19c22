import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { wrappedKeyKey } from '@tidemark/archive';
import { runRetention } from '@tidemark/archiver';
import { openInstanceLog } from '@tidemark/catalog';
import { bytesOf, type Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { addInstance, loadConfig, removeInstance } from '@tidemark/workspace';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditNote } from '../../../services/control/src/audit/audit.ts';
import type { Actor } from '../../../services/control/src/jobs/job.ts';
import { endProcesses } from '../../../services/control/src/provision/local-folder.ts';
import { rebuildHandler } from '../../../services/control/src/recycle/rebuild-handler.ts';
import { RecycleBin } from '../../../services/control/src/recycle/recycle-bin.ts';
import { takeBackFromBin } from '../../../services/control/src/recycle/take-back.ts';
import { INSTANCE } from '../../support/archiver-run.ts';
import { attempt, CloneBench } from '../../support/control-clone/clone-bench.ts';

const DAY_MS = 86_400_000;
const OPS: Actor = { name: 'ops', via: 'token' };
const { signal } = new AbortController();

let bench: CloneBench;
let secondsAhead = 0;
/** What passed of the time that no wall clock shows. */
let passedMs = 0;
/** What the rebuilt instance is logged in to with. */
let loginFile: string | undefined;
const notes: AuditNote[] = [];
const warnings: string[] = [];

/** The clock of the bin runs ahead as a test says. */
const clock: Clock = {
  ...methodsOf(systemClock),
  nowMs: () => systemClock.nowMs() + secondsAhead * 1000,
  monotonicMs: () => systemClock.monotonicMs() + passedMs,
};

function methodsOf(real: Clock): Clock {
  return {
    nowMs: () => real.nowMs(),
    monotonicMs: () => real.monotonicMs(),
    sleep: (ms, until) => real.sleep(ms, until),
  };
}

async function openBin(): Promise<RecycleBin> {
  const { workspace } = await bench.parts();
  const audit = { append: (note: AuditNote) => void notes.push(note) };
  const warn = (message: string): void => void warnings.push(message);
  return new RecycleBin({ workspace, audit, clock, random: systemRandom, warn });
}

function configured(more = ''): Promise<void> {
  const { server } = bench.archive;
  return bench.configure({
    more: `[policy]
recycle_retain = "38d"
grace = "1h"
[archiver]
expire = true
[[instance]]
id = "${INSTANCE}"
url = "redis://127.0.0.1:${server.port}"
password_file = "${join(bench.archive.dir, 'secrets', 'node.pass')}"
aof_dir = "${server.aofDir}"
${more}`,
  });
}

beforeAll(async () => {
  const config = {
    ...{ 'hash-max-listpack-entries': '77' },
    ...{ user: 'app on >App-pass-1 ~* +@all', requirepass: 'Node-pass-1' },
  };
  bench = await CloneBench.open({}, { config });
  await bench.secret('node.pass', 'Node-pass-1\n');
  await configured();
  const client = await bench.archive.server.connect(bench.archive.login);
  for (let i = 0; i < 50; i++) await client.set(`key:${i}`, `value ${i}`);
  const { workspace } = await bench.parts();
  const { store, keys } = workspace;
  const log = await openInstanceLog({
    ...{ store, iid: INSTANCE, logKey: await keys.logKey(INSTANCE), clock, random: systemRandom },
  });
  const policy = { days: ['mon'], hours: ['03:00Z-04:00Z'], retainSeconds: 86_400 } as const;
  await log.append(() => ({ type: 'PolicySet', policy, atMs: clock.nowMs() }));
  await bench.settled();
});

afterAll(async () => {
  const root = join(bench.archive.dir, 'c');
  for (const name of await readdir(root).catch(() => []))
    await endProcesses(join(root, name), false);
  await bench[Symbol.asyncDispose]();
});

describe('the recycle bin', () => {
  it('takes an instance that is captured no more, and keeps all of it from retention', async () => {
    const bin = await openBin();
    await expect(bin.get(INSTANCE, signal)).rejects.toMatchObject({ code: 'TM_RECYCLE_STATE' });
    await bin.put(INSTANCE, OPS, signal);
    const [recycled] = await bin.list(signal);
    expect(recycled).toMatchObject({
      ...{ instance: INSTANCE, state: 'kept', by: 'ops', rebuilds: [], goneMs: null },
      node: { source: 'aof', user: null, passwordRef: `recycle-${INSTANCE}.pass` },
    });
    expect(Math.round((recycled!.untilMs - recycled!.sinceMs) / DAY_MS)).toBe(38);
    const config = await loadConfig(bench.configPath);
    expect(config.instances).toEqual([]);
    const kept = join(bench.archive.dir, 'secrets', `recycle-${INSTANCE}.pass`);
    expect(await readFile(kept, 'utf8')).toBe('Node-pass-1\n');
    await expect(bin.put(INSTANCE, OPS, signal)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });

    const { workspace } = await bench.parts();
    const { store, keys, catalog } = workspace;
    await workspace.sync(signal, INSTANCE);
    const ports = { store, keys, catalog, clock, random: systemRandom, signal };
    const rules = { retainSeconds: 1, graceMs: 0, shareMax: 1 };
    const report = await runRetention(
      { instance: INSTANCE, stateDir: workspace.config.stateDir, dryRun: true, ...rules },
      ports,
    );
    expect(report.marked?.amount.objects ?? 0).toBe(0);
  });

  it('gives back an instance with its data, users, settings and policy, under protection', async () => {
    const parts = await bench.parts();
    const handler = rebuildHandler({ ...parts, recycle: await openBin() });
    const job = await bench.job(handler, {
      target: { kind: 'local' },
      name: 'orders-2',
      sample: 20,
    });
    const { outcome, error } = await attempt(handler, job);
    expect(error).toBeNull();
    expect(outcome?.result).toMatchObject({
      keys: 50,
      instance: 'orders-2',
      password: 'of-source',
    });
    const { url } = outcome?.result as { readonly url: string };
    const options = { host: '127.0.0.1', port: Number(url.split(':').at(-1)), lazyConnect: true };
    const client = new Redis({
      ...options,
      username: 'app',
      password: 'App-pass-1',
      retryStrategy: () => null,
    });
    client.on('error', () => undefined);
    await client.connect();
    expect(await client.get('key:7')).toBe('value 7');
    expect(await client.config('GET', 'hash-max-listpack-entries')).toContain('77');
    client.disconnect();

    const config = await loadConfig(bench.configPath);
    expect(config.instances).toMatchObject([{ id: 'orders-2', url, source: 'psync' }]);
    // Of its own: that of the bin goes when the source is destroyed.
    [loginFile] = config.instances.map((entry) => entry.password_file ?? '');
    expect(loginFile).toMatch(/\/secrets\/clone-[0-9a-f]+\.pass$/);
    expect(await readFile(loginFile ?? '', 'utf8')).toBe('Node-pass-1\n');
    await parts.workspace.sync(signal);
    expect(parts.workspace.catalog.instance('orders-2').policy).toMatchObject({
      retainSeconds: 86_400,
    });
    const [recycled] = await (await openBin()).list(signal);
    expect(recycled).toMatchObject({
      state: 'kept',
      rebuilds: [{ into: 'orders-2', job: job.id }],
    });
    await expect(bench.job(handler, { target: { kind: 'local' }, name: 'orders-2' })) //
      .rejects.toMatchObject({ code: 'TM_EXISTS' });
    // Before anything is written: what is not to be taken under protection would be for nothing.
    const request = { target: { kind: 'address', url: 'redis://10.0.0.9:6379' }, name: 'orders-3' };
    const actor = { name: 'bob', via: 'token' } as const;
    const order = { kind: 'rebuild', instance: INSTANCE, request, actor } as const;
    await expect(handler.check(order)).rejects.toMatchObject({
      ...{
        code: 'TM_TARGET_DENIED',
        hint: expect.stringContaining('[server] allow_sources') as unknown,
      },
    });
    await handler.check({ ...order, request: { ...request, register: false } });
  });

  it('takes an instance back that is added again', async () => {
    const { workspace } = await bench.parts();
    const ports = { workspace, clock, random: systemRandom };
    expect(await takeBackFromBin(INSTANCE, 'ops', ports, signal)).toBe(true);
    expect(await takeBackFromBin(INSTANCE, 'ops', ports, signal)).toBe(false);
    await workspace.sync(signal, INSTANCE);
    expect(workspace.catalog.instance(INSTANCE)).toMatchObject({ recycle: null, leases: [] });
    await configured();
    await (await openBin()).put(INSTANCE, OPS, signal);
  });

  it('does not rebuild an instance with TDE, and says what is done instead', async () => {
    await bench.archive.register('sealed');
    const { workspace, ...rest } = await bench.parts();
    const { store, keys } = workspace;
    const log = await openInstanceLog({
      ...{ store, iid: 'sealed', logKey: await keys.logKey('sealed'), clock, random: systemRandom },
    });
    const atMs = clock.nowMs();
    await log.append(() => ({
      type: 'TdeRequested',
      provider: 'aws-kms',
      keyId: 'k',
      auto: false,
      atMs,
    }));
    await log.append(() => ({
      type: 'InstanceRecycled',
      node: null,
      by: 'ops',
      untilMs: atMs + 1e6,
      atMs,
    }));
    const handler = rebuildHandler({ workspace, ...rest, recycle: await openBin() });
    const order = {
      kind: 'rebuild',
      instance: 'sealed',
      request: { target: { kind: 'local' } },
      actor: OPS,
    } as const;
    await expect(handler.check(order)).rejects.toMatchObject({ code: 'TM_TDE_REBUILD' });
  });
});

describe('what is given up for good', () => {
  it('is destroyed only when its id was typed, and cannot be had back', async () => {
    const bin = await openBin();
    await expect(bin.destroy(INSTANCE, 'other', OPS, signal)).rejects.toMatchObject({
      code: 'TM_WRITE_CONSENT',
    });
    // As a rebuild of an earlier release has left it.
    const rebuilt = { id: 'orders-3', url: 'redis://127.0.0.1:1', source: 'psync' } as const;
    const file = join('secrets', `recycle-${INSTANCE}.pass`);
    await addInstance(bench.configPath, { ...rebuilt, password_file: file });
    const gone = await bin.destroy(INSTANCE, INSTANCE, OPS, signal);
    expect(gone).toMatchObject({ state: 'destroyed' });
    for (const named of [join(bench.archive.dir, file), loginFile ?? '']) {
      expect(await readFile(named, 'utf8')).toBe('Node-pass-1\n');
    }
    await removeInstance(bench.configPath, 'orders-3');
    expect(notes.map(({ action }) => action)).toContain('recycle.destroy');
    const parts = await bench.parts();
    const handler = rebuildHandler({ ...parts, recycle: bin });
    await expect(bench.job(handler, { target: { kind: 'local' } })).rejects.toMatchObject({
      code: 'TM_RECYCLE_STATE',
    });
    expect(
      (await bench.clone({ source: { kind: 'latest' }, name: 'x', target: { kind: 'local' } }))
        .error,
    ).toMatchObject({ code: 'TM_KEY_SHREDDED' });
    await expect(takeBackFromBin(INSTANCE, 'ops', parts, signal)).rejects.toMatchObject({
      code: 'TM_RECYCLE_STATE',
    });
    expect(await bin.destroy(INSTANCE, INSTANCE, OPS, signal)).toMatchObject({
      state: 'destroyed',
    });
  });

  it('keeps its objects for the grace, and then only says who gave it up', async () => {
    const bin = await openBin();
    const before = await objectsOf(INSTANCE);
    await bin.sweep(signal);
    expect(await objectsOf(INSTANCE)).toEqual(before);
    secondsAhead = 2 * 3_600;
    await bin.sweep(signal);
    expect((await bin.get(INSTANCE, signal)).state).toBe('erased');
    const secrets = await readdir(join(bench.archive.dir, 'secrets'));
    expect(secrets).not.toContain(`recycle-${INSTANCE}.pass`);
    for (const key of await objectsOf(INSTANCE)) expect(key).toMatch(/\/(record|log\/[^/]+)$/);
    const { workspace } = await bench.parts();
    workspace.catalog.clear();
    await workspace.sync(signal, INSTANCE);
    expect(workspace.catalog.snapshots(INSTANCE)).toEqual([]);
    // Only `sealed`, whose time was short, is spoken of.
    expect(warnings.filter((line) => line.includes(INSTANCE))).toEqual([]);
  });

  it('goes by itself once its time in the bin is over, where this host deletes', async () => {
    secondsAhead = 0;
    await bench.archive.register('old');
    const { workspace } = await bench.parts();
    const { store, keys } = workspace;
    const log = await openInstanceLog({
      ...{ store, iid: 'old', logKey: await keys.logKey('old'), clock, random: systemRandom },
    });
    const atMs = clock.nowMs();
    const untilMs = atMs + 38 * DAY_MS;
    await log.append(() => ({ type: 'InstanceRecycled', node: null, by: 'ops', untilMs, atMs }));
    const bin = await openBin();
    await bin.sweep(signal);
    expect((await bin.get('old', signal)).state).toBe('kept');
    // The clock is ahead for a moment.
    secondsAhead = (39 * DAY_MS) / 1000;
    await bin.sweep(signal);
    secondsAhead = 0;
    await bin.sweep(signal);
    expect((await bin.get('old', signal)).state).toBe('kept');
    // It stays ahead; no day has passed yet.
    secondsAhead = (41 * DAY_MS) / 1000;
    for (let sweep = 0; sweep < 3; sweep++) await bin.sweep(signal);
    expect((await bin.get('old', signal)).state).toBe('due');
    secondsAhead += (DAY_MS * 2) / 1000;
    passedMs = DAY_MS;
    await bin.sweep(signal);
    expect((await bin.get('old', signal)).state).toBe('due');
    expect(bin.postponed).toEqual([
      { instance: 'old', detail: expect.stringContaining('of 38 days it was seen') as string },
    ]);
    // So much time did pass, whatever the clock says.
    passedMs = 39 * DAY_MS;
    await bin.sweep(signal);
    expect((await bin.get('old', signal)).state).toBe('destroyed');
    expect(bin.postponed).toEqual([]);
  });
});

it('keys that a destruction left which was cut short go with the next sweep', async () => {
  secondsAhead = 0;
  await bench.archive.register('cut');
  const { workspace } = await bench.parts();
  const { store, keys } = workspace;
  const log = await openInstanceLog({
    ...{ store, iid: 'cut', logKey: await keys.logKey('cut'), clock, random: systemRandom },
  });
  const atMs = clock.nowMs();
  const [untilMs, dueMs] = [atMs + DAY_MS, atMs + DAY_MS];
  await log.append(() => ({ type: 'InstanceRecycled', node: null, by: 'ops', untilMs, atMs }));
  await log.append(() => ({ type: 'InstanceDestroyed', by: 'ops', dueMs, atMs }));
  const key = wrappedKeyKey('cut', 'ab'.repeat(16), 1);
  await store.putIfAbsent(key, bytesOf(Buffer.alloc(8)));
  const bin = await openBin();
  await bin.sweep(signal);
  expect(await store.head(key)).toBeNull();
  expect((await bin.get('cut', signal)).state).toBe('destroyed');
  await workspace.sync(signal, 'cut');
  expect(workspace.catalog.instance('cut').shredded.instanceMs).not.toBeNull();
});

async function objectsOf(instance: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const batch of bench.archive.store.list(`v1/instance/${instance}/`)) {
    keys.push(...batch.map(({ key }) => key));
  }
  return keys;
}
