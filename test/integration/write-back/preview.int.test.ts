import { NodeError, UsageError } from '@tidemark/core';
import { diffPoints, preview, type DiffReport, type PreviewReport } from '@tidemark/restorer';
import type { SelectorSpec } from '@tidemark/selector';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RestoreEnvironment } from '../../../services/restorer/src/run/environment.ts';
import { record, type Recorded } from '../../support/replay-run.ts';
import { ARCHIVED } from '../../support/test-archive.ts';

const EMPTY: SelectorSpec = {
  ...{ include: [], exclude: [], dbs: null, excludeDbs: [], types: null, excludeTypes: [] },
};
const glob = (pattern: string): SelectorSpec => ({
  ...EMPTY,
  include: [{ kind: 'glob', pattern }],
});
const FAR_MS = 4_000_000_000_000;

let recorded: Recorded;
let environment: RestoreEnvironment;
/** When the keys with short lives end. */
let deadMs = 0;
beforeAll(async () => {
  recorded = await record({
    before: (client) => client.mset({ 'cart:gone': 'x', 'cart:same': 'x', 'user:1': 'x' }),
    during: [
      // The first point.
      async (client) => {
        deadMs = Date.now() + 3_000;
        await client.hset('cart:hash', 'field', 'old', 'other', 'same');
        await client.set('cart:life', 'x', 'PXAT', FAR_MS);
        await client.set('cart:dies', 'x', 'PXAT', deadMs);
        await client.set('cart:dies and lives', 'x', 'PXAT', deadMs);
        await client.set('cart:dead', 'x', 'PXAT', 1);
      },
      // The second one.
      async (client) => {
        await client.hset('cart:hash', 'field', 'new');
        await client.del('cart:gone');
        await client.rpush('cart:new', ...Array.from({ length: 10 }, (_, i) => `element ${i}`));
        await client.set('cart:dies and lives', 'x');
        await client.set('user:2', 'x');
      },
      (client) => client.persist('cart:life'),
    ],
  });
  environment = {
    ...(await recorded.archive.environment()),
    clock: systemClock,
    random: systemRandom,
  };
});
afterAll(() => recorded[Symbol.asyncDispose]());

const pointAt = (part: number) =>
  ({ kind: 'offset', offset: recorded.ends[part]!, timeline: null }) as const;
const original = (password?: string) => ({
  ...{ latencyMaxMs: 5, rate: null },
  address: {
    ...{ host: '127.0.0.1', port: recorded.source.port },
    ...(password === undefined ? {} : { username: 'reader', password }),
  },
});

const previewOf = (selector: SelectorSpec, mode: 'absolute' | 'persist' = 'absolute') =>
  preview(
    {
      ...{ instance: ARCHIVED, point: pointAt(0), ttl: { mode }, selector },
      live: original(),
    },
    environment,
  );

const outcomes = ({ sample }: PreviewReport | DiffReport): Record<string, string> =>
  Object.fromEntries(sample.map(({ key, outcome }) => [key, outcome]));

describe('a preview', () => {
  it('tells what a write would do, of selected keys alone, and writes nothing', async () => {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, deadMs - Date.now() + 10)));
    const changes = async (): Promise<string | undefined> =>
      /rdb_changes_since_last_save:\d+/.exec(await recorded.client.info('persistence'))?.[0];
    const before = await changes();
    const report = await previewOf(glob('cart:*'));
    expect(outcomes(report)).toEqual({
      'cart:hash': 'changed',
      'cart:life': 'changed',
      'cart:gone': 'missing',
      'cart:new': 'created',
      'cart:dies': 'expired',
      'cart:dies and lives': 'expired',
    });
    expect(report.counts).toEqual({ same: 1, changed: 2, missing: 1, created: 1, expired: 2 });
    expect(report.expiryOnly).toBe(1);
    expect(report.write).toMatchObject({ put: 3, deleted: 2 });
    expect(report.write.putBytes).toBeGreaterThan(0);
    const life = report.sample.find(({ key }) => key === 'cart:life');
    expect(life?.then).toMatchObject({ type: 'string', expiresAt: new Date(FAR_MS).toISOString() });
    expect(life?.now).toMatchObject({ type: 'string', expiresAt: null, value: null });
    expect(report.warnings.join()).toMatch(/2 keys have an expiry that has passed.*cart:dies/);
    expect(report).toMatchObject({ ttl: 'absolute', selected: 'glob cart:*' });
    expect(await changes()).toBe(before);
  });

  it('what was dead at the point is no key in a mode that takes lives up anew', async () => {
    const report = await previewOf(glob('cart:d*'), 'persist');
    expect(outcomes(report)).toEqual({ 'cart:dies': 'missing' });
    expect(report.counts).toMatchObject({ same: 1, expired: 0 });
  });

  it('a selector that matches nothing leaves nothing to do', async () => {
    const report = await previewOf(glob('nowhere:*'));
    expect(report.counts).toEqual({ same: 0, changed: 0, missing: 0, created: 0, expired: 0 });
    expect(report.write).toEqual({ put: 0, putBytes: 0, deleted: 0, kept: 0, seconds: 0 });
  });

  it('an empty selection is refused', async () => {
    await expect(previewOf(EMPTY)).rejects.toThrow(
      expect.objectContaining({ code: 'TM_SELECTOR_EMPTY' }) as UsageError,
    );
  });

  it('names every command that the user of the original lacks, before anything is restored', async () => {
    const rules = ['on', '>secret', '~*', '+@all', '-dump', '-memory|usage'];
    await recorded.client.call('ACL', 'SETUSER', 'reader', 'reset', ...rules);
    const phases: string[] = [];
    const failed = await preview(
      {
        ...{ instance: ARCHIVED, point: pointAt(0), ttl: { mode: 'absolute' } },
        ...{ selector: glob('cart:*'), live: original('secret') },
      },
      { ...environment, onProgress: ({ phase }) => phases.push(phase) },
    ).catch((error: unknown) => error as NodeError);
    expect(failed).toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { commands: 'MEMORY USAGE, DUMP' },
    });
    expect((failed as NodeError).hint).toContain('+memory|usage +dump');
    expect(phases).toEqual([]);
  });
});

describe('a diff', () => {
  const diff = (from: number, to: number | 'live', values = false) =>
    diffPoints(
      {
        ...{ instance: ARCHIVED, selector: glob('cart:*'), values, sampleMax: 20 },
        from: pointAt(from),
        to: to === 'live' ? { kind: 'live', server: original() } : pointAt(to),
      },
      environment,
    );

  it('of two points shows both as they were, though lives have ended since', async () => {
    const report = await diff(0, 1);
    expect(outcomes(report)).toEqual({
      'cart:hash': 'changed',
      'cart:gone': 'missing',
      'cart:new': 'created',
      'cart:dies and lives': 'changed',
    });
    expect(report.counts.same).toBe(3);
    const lives = report.sample.find(({ key }) => key === 'cart:dies and lives');
    expect(lives?.then?.expiresAt).toBe(new Date(deadMs).toISOString());
    expect(lives?.now?.expiresAt).toBeNull();
  });

  it('of a point and now tells what has expired since, and a life made longer as a change', async () => {
    const report = await diff(1, 'live');
    expect(outcomes(report)).toEqual({ 'cart:life': 'changed', 'cart:dies': 'expired' });
    const first = await diff(0, 'live');
    expect(outcomes(first)).toMatchObject({ 'cart:dies and lives': 'changed' });
  });

  it('shows values only when they are wanted, and the beginning of them', async () => {
    const hidden = await diff(0, 1);
    expect(JSON.stringify(hidden)).not.toMatch(/element|"field/);
    const { sample } = await diff(0, 1, true);
    const valueOf = (key: string) => sample.find((one) => one.key === key);
    expect(valueOf('cart:hash')?.then?.value).toMatch(/"field": "old"/);
    expect(valueOf('cart:hash')?.now?.value).toMatch(/"field": "new"/);
    expect(valueOf('cart:gone')).toMatchObject({ then: { value: '"x"' }, now: null });
    const list = Array.from({ length: 5 }, (_, i) => `"element ${i}"`).join(', ');
    expect(valueOf('cart:new')?.now?.value).toBe(`[${list}, … (10 elements)]`);
  });

  it('the same point twice is the same', async () => {
    expect(await diff(1, 1)).toMatchObject({
      counts: { changed: 0, missing: 0, created: 0, expired: 0 },
      sample: [],
    });
  });
});
