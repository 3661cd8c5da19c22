import { TidemarkError } from '@tidemark/core';
import { listUndoPacks, preview, resumeWriteBack, type WriteBackOutcome } from '@tidemark/restorer';
import type { SelectorSpec } from '@tidemark/selector';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { CuttingProxy } from '../../support/cutting-proxy.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { record, type Recorded } from '../../support/replay-run.ts';
import { startRedis } from '../../support/redis-server.ts';
import { ARCHIVED } from '../../support/test-archive.ts';
import { HookedStore, type UndoPutHooks } from '../../support/write-back/hooked-store.ts';
import {
  EVERY_KEY,
  originalOf,
  readBytes,
  realEnvironment,
  undo,
  writeBack,
} from '../../support/write-back/write-run.ts';

const NAMES = Array.from({ length: 300 }, (_, i) => `k${String(i).padStart(3, '0')}`);
/** In this order they are written, at most 256 at once. */
const IN_ORDER: SelectorSpec = {
  ...EVERY_KEY,
  include: NAMES.map((name) => ({ kind: 'key', key: Buffer.from(name) })),
};

const setAll = (client: Redis, value: string): Promise<unknown> =>
  client.mset(Object.fromEntries(NAMES.map((name) => [name, `${value} ${name}`])));

const changed = (): Promise<Recorded> =>
  record({ during: [(client) => setAll(client, 'then'), (client) => setAll(client, 'now')] });

const valueOf = (client: Redis, name: string): Promise<string | null> => client.get(name);

/** How many keys hold what they held then. */
async function restoredKeys(client: Redis): Promise<number> {
  const values = await client.mget(NAMES);
  return values.filter((value) => value?.startsWith('then') === true).length;
}

async function write(
  recorded: Recorded,
  hooks: UndoPutHooks,
  changes: Parameters<typeof writeBack>[1] = {},
): Promise<WriteBackOutcome> {
  const { store } = await realEnvironment(recorded);
  return writeBack(recorded, {
    selector: IN_ORDER,
    ...changes,
    environment: { store: new HookedStore(store, hooks), ...changes.environment },
  });
}

describe('a key that a client changes between comparison and write', () => {
  /** While the first batch is written a key of the last one changes. */
  const lateChange = (client: Redis): UndoPutHooks => ({
    after: async (part) => part === 0 && client.set('k299', 'by a client'),
  });

  it('is left, named and counted by the rule "skip"; an undo leaves it too', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report, failure } = await write(recorded, lateChange(client));
    expect(failure).toBeNull();
    expect(report).toMatchObject({
      ...{ state: 'partial', restored: 299, conflicts: 1, refused: 0 },
      left: [{ db: 0, key: 'k299', why: 'its value was changed after the comparison' }],
    });
    expect(await valueOf(client, 'k299')).toBe('by a client');
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'succeeded', restored: 299, conflicts: 0 });
    expect(await valueOf(client, 'k299')).toBe('by a client');
    expect(await valueOf(client, 'k298')).toBe('now k298');
  });

  it('is written by the rule "overwrite"; an undo gives back what the client wrote', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report } = await write(recorded, lateChange(client), { policy: 'overwrite' });
    expect(report).toMatchObject({ state: 'succeeded', restored: 300, conflicts: 0 });
    expect(await valueOf(client, 'k299')).toBe('then k299');
    await undo(recorded, report.id);
    expect(await valueOf(client, 'k299')).toBe('by a client');
  });

  it('ends the work by the rule "fail", with what was written until then', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report, failure } = await write(recorded, lateChange(client), { policy: 'fail' });
    expect(failure).toMatchObject({ code: 'TM_WRITE_CONFLICT', context: { db: 0, key: 'k299' } });
    expect(report.state).toBe('interrupted');
    expect(await restoredKeys(client)).toBe(report.restored);
    expect(await valueOf(client, 'k299')).toBe('by a client');
  });
});

describe('a key that a client changes between the look and the transaction', () => {
  it('is found by the transaction: it alone is left, the rest of its batch is written', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report } = await write(recorded, {
      after: async (part) => part === 0 && client.set('k003', 'by a client'),
    });
    expect(report).toMatchObject({ state: 'partial', restored: 299, conflicts: 1 });
    expect(await valueOf(client, 'k003')).toBe('by a client');
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ restored: 299, conflicts: 0 });
    expect(await valueOf(client, 'k003')).toBe('by a client');
  });

  it('has the others of its batch counted once', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { store, keys, signal } = await realEnvironment(recorded);
    const hit: string[] = [];
    const touch = async (index: number): Promise<void> => {
      hit.push(NAMES[index] ?? '');
      await client.set(NAMES[index] ?? '', 'by a client');
    };
    let first = 0;
    const { report } = await write(recorded, {
      // A key of the second batch, before it is looked at, and another one afterwards.
      after: async (part) => {
        if (part !== 0) return;
        const [pack] = await listUndoPacks(ARCHIVED, { store, keys, signal });
        first = pack?.keys ?? 0;
        await touch(first + 1);
      },
      before: async (part) => part === 1 && touch(first),
    });
    expect(report).toMatchObject({ state: 'partial', restored: 298, conflicts: 2 });
    expect(report.left.map(({ key }) => key).sort()).toEqual([...hit].sort());
  });

  it('again and again is left after three attempts, also by the rule "overwrite"', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report } = await write(
      recorded,
      { after: () => client.append('k003', '!') },
      { policy: 'overwrite' },
    );
    expect(report).toMatchObject({
      ...{ state: 'partial', restored: 299, conflicts: 1 },
      left: [{ key: 'k003', why: 'somebody keeps writing to it' }],
    });
    expect(await valueOf(client, 'k003')).toMatch(/^now k003!+$/);
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ restored: 299, conflicts: 0 });
    expect(await valueOf(client, 'k003')).toMatch(/^now k003!+$/);
  });
});

describe('a write that does not come to its end', () => {
  it('because the connection is lost tells what is written, goes on, and is undone as one', async () => {
    await using recorded = await changed();
    const { client, source } = recorded;
    const before = await readBytes(client);
    await using proxy = await CuttingProxy.to(source.port);
    const { report, failure } = await write(
      recorded,
      {
        after: (part) => {
          if (part === 1) proxy.cutAll();
          return Promise.resolve();
        },
      },
      { live: originalOf(recorded, { port: proxy.port }) },
    );
    expect(failure).toMatchObject({ code: 'TM_NODE_UNREACHABLE' });
    expect(report).toMatchObject({ state: 'interrupted', conflicts: 0, undo: { id: report.id } });
    expect(report.restored).toBeGreaterThan(0);
    expect(await restoredKeys(client)).toBe(report.restored);
    expect(report.writtenSample[0]).toEqual({ db: 0, key: 'k000' });
    const environment = await realEnvironment(recorded);
    const options = { live: originalOf(recorded), retainMs: 3_600_000 };
    const rest = await resumeWriteBack(ARCHIVED, report.id, options, environment);
    expect(rest).toMatchObject({
      failure: null,
      report: { id: report.id, state: 'succeeded', outcomes: { same: report.restored } },
    });
    expect(await restoredKeys(client)).toBe(300);
    expect(await resumeWriteBack(ARCHIVED, report.id, options, environment)).toBeNull();
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'succeeded', restored: 300, conflicts: 0 });
    expect(await readBytes(client)).toEqual(before);
  });

  it('leaves keys that were not there then where that is asked for, also when it goes on, and so does its undo', async () => {
    let then: Oracle | null = null;
    const made = ['k000+', 'made:hash'];
    await using recorded = await record({
      during: [
        async (client) => {
          await setAll(client, 'then');
          await client.sadd('a set', '1', '2');
          then = await readOracle(client);
        },
        async (client) => {
          await setAll(client, 'now');
          await client.set('k000+', 'made', 'PXAT', 4_000_000_000_000);
          await client.hset('made:hash', 'field', 'value');
          await client.del('a set');
        },
      ],
    });
    const { client, source } = recorded;
    const before = await readBytes(client);
    const names = [...made, 'a set', ...NAMES];
    const include = names.map((name) => ({ kind: 'key', key: Buffer.from(name) }) as const);
    const asked = { selector: { ...EVERY_KEY, include }, missingKeys: 'keep' } as const;
    const environment = await realEnvironment(recorded);
    const point = { kind: 'offset', offset: recorded.ends[0] ?? 0n, timeline: null } as const;
    const what = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const, ...asked };
    const shown = await preview({ ...what, live: originalOf(recorded) }, environment);
    expect(shown.counts).toMatchObject({ changed: 300, missing: 1, created: 2 });
    expect(shown.write).toMatchObject({ put: 301, deleted: 0, kept: 2 });
    await using proxy = await CuttingProxy.to(source.port);
    const cut: UndoPutHooks = {
      after: (part) => {
        if (part === 1) proxy.cutAll();
        return Promise.resolve();
      },
    };
    const live = originalOf(recorded, { port: proxy.port });
    const { report, failure } = await write(recorded, cut, { ...asked, live });
    expect(failure).toMatchObject({ code: 'TM_NODE_UNREACHABLE' });
    expect(report).toMatchObject({ state: 'interrupted', deleted: 0, kept: 2 });
    const options = { live: originalOf(recorded), retainMs: 3_600_000 };
    const rest = await resumeWriteBack(ARCHIVED, report.id, options, environment);
    expect(rest).toMatchObject({
      failure: null,
      report: { state: 'succeeded', deleted: 0, kept: 2, conflicts: 0 },
    });
    const left = await Promise.all(made.map((name) => client.dumpBuffer(name)));
    expect(await client.del(made)).toBe(2);
    expect(diffOracle(then!, await readOracle(client))).toEqual([]);
    await client.restore('k000+', 4_000_000_000_000, left[0]!, 'ABSTTL');
    await client.restore('made:hash', 0, left[1]!);
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'succeeded', restored: 300, deleted: 1 });
    expect(await readBytes(client)).toEqual(before);
  });

  it('goes on without what clients have made of its keys since', async () => {
    await using recorded = await changed();
    const { client, source } = recorded;
    await using proxy = await CuttingProxy.to(source.port);
    const { report } = await write(
      recorded,
      {
        after: (part) => {
          if (part === 1) proxy.cutAll();
          return Promise.resolve();
        },
      },
      { live: originalOf(recorded, { port: proxy.port }) },
    );
    expect(await valueOf(client, 'k000')).toBe('then k000');
    await client.set('k000', 'by a client');
    await client.del('k001');
    await client.expire('k002', 1_000);
    const environment = await realEnvironment(recorded);
    const options = { live: originalOf(recorded), retainMs: 3_600_000 };
    const rest = await resumeWriteBack(ARCHIVED, report.id, options, environment);
    expect(rest).toMatchObject({ failure: null, report: { state: 'partial', conflicts: 3 } });
    const changedSince = 'it was changed after this restore had written it';
    expect(rest?.report.left.map(({ key, why }) => [key, why]).sort()).toEqual(
      ['k000', 'k001', 'k002'].map((key) => [key, changedSince]),
    );
    expect(await client.mget('k000', 'k001')).toEqual(['by a client', null]);
    expect(await client.ttl('k002')).toBeGreaterThan(0);
    expect(await restoredKeys(client)).toBe(298);
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'partial', restored: 297, conflicts: 3 });
  });

  it('where it is to be, since another server was promoted meanwhile, says so and goes on there', async () => {
    await using recorded = await changed();
    const { client, source } = recorded;
    await using promoted = await startRedis();
    const other = await promoted.connect();
    await other.replicaof('127.0.0.1', source.port);
    await expect
      .poll(async () => /master_link_status:up/.test(await other.info('replication')), {
        timeout: 20_000,
      })
      .toBe(true);
    // The old primary was frozen, say, and takes writes until somebody tells it.
    const failover: UndoPutHooks = {
      before: async (part) => part === 0 && other.replicaof('NO', 'ONE'),
    };
    const address = { host: '127.0.0.1', port: promoted.port };
    const live = { ...originalOf(recorded), locate: () => Promise.resolve(address) };
    const { report, failure } = await write(recorded, failover, { live });
    expect(await restoredKeys(client)).toBe(300);
    expect(await restoredKeys(other)).toBe(0);
    expect(failure).toMatchObject({ code: 'TM_WRITE_TARGET' });
    expect(report).toMatchObject({ state: 'interrupted', restored: 300 });
    const there = { live: { ...live, address }, retainMs: 3_600_000 };
    const environment = await realEnvironment(recorded);
    const rest = await resumeWriteBack(ARCHIVED, report.id, there, environment);
    expect(rest).toMatchObject({ failure: null, report: { state: 'succeeded', restored: 300 } });
    expect(await restoredKeys(other)).toBe(300);
    // As it is with an undo on the server that is none any more.
    const undone = await undo(recorded, report.id, { live });
    expect(undone).toMatchObject({
      failure: { code: 'TM_WRITE_TARGET' },
      report: { state: 'interrupted' },
    });
  });

  it('because it is called off leaves nothing half, and what it wrote is undone', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const cancel = new AbortController();
    const { report, failure } = await write(
      recorded,
      {
        after: (part) => {
          if (part === 1) cancel.abort(new TidemarkError('TM_CANCELLED', 'cancelled'));
          return Promise.resolve();
        },
      },
      { environment: { signal: cancel.signal } },
    );
    expect(failure).toMatchObject({ code: 'TM_CANCELLED' });
    expect(report.state).toBe('interrupted');
    expect(report.restored).toBeGreaterThan(0);
    expect(await restoredKeys(client)).toBe(report.restored);
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ restored: report.restored, conflicts: 0 });
    expect(await restoredKeys(client)).toBe(0);
  });

  it('because the process is gone at any part leaves a pack from which all is put back', async () => {
    await using recorded = await changed();
    const { client, source } = recorded;
    const before = await readBytes(client);
    for (const last of [0, 1]) {
      await using proxy = await CuttingProxy.to(source.port);
      const { report } = await write(
        recorded,
        {
          before: (part) => (part > last ? Promise.reject(new Error('gone')) : Promise.resolve()),
          after: (part) => {
            if (part === last) proxy.cutAll();
            return Promise.resolve();
          },
        },
        { live: originalOf(recorded, { port: proxy.port }) },
      );
      expect(report.state).toBe('interrupted');
      const undone = await undo(recorded, report.id);
      expect(undone.report).toMatchObject({ conflicts: 0, restored: report.restored });
      expect(await readBytes(client)).toEqual(before);
    }
  });
});
