import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { selectorToJson } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import {
  pointOf,
  selectorOf,
  ttlOf,
  type PointBody,
  type TtlBody,
} from '../../../services/control/src/api/routes/point-fields.ts';
import {
  orderOf,
  wishOf,
  type RestoreBodyFields,
  type TargetBody,
} from '../../../services/control/src/api/routes/restore-order.ts';
import { PlanShelf } from '../../../services/control/src/api/routes/plan-shelf.ts';
import { checkClone } from '../../../services/control/src/clone/clone-request.ts';
import type { HandlerPorts } from '../../../services/control/src/handlers/handler-ports.ts';
import { restoreHandler } from '../../../services/control/src/handlers/restore.ts';
import { SHIFT_SECONDS_MAX } from '../../../services/control/src/handlers/ttl-schema.ts';
import { writeBackHandler } from '../../../services/control/src/handlers/write-back.ts';
import type { JobHandler, JobOrder, Json } from '../../../services/control/src/jobs/job.ts';
import type { Provisioners } from '../../../services/control/src/provision/provisioners.ts';
import { PlanBody } from '../../../services/control/src/api/schemas/restores.ts';
import { Gate } from '../../../services/control/src/api/routes/gate.ts';
import { StateDatabase } from '../../../services/control/src/state/database.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { QUIET } from '../../support/job-desk.ts';
import { steppingClock } from '../../support/stepping-clock.ts';
import { TempDir } from '../../support/temp-dir.ts';

const NOW_MS = Date.parse('2026-11-22T12:00:00Z');
const AT = '2026-11-22T10:00:00Z';
const second = Date.parse(AT) / 1000;

/** The pointers of what is refused. */
function pointersOf(work: () => unknown): readonly string[] {
  try {
    work();
  } catch (error) {
    return (error as { readonly faults: readonly { pointer: string }[] }).faults.map(
      ({ pointer }) => pointer,
    );
  }
  return [];
}

describe('a point', () => {
  it.each<[PointBody, object]>([
    [{ restoreType: 'latest' }, { kind: 'latest' }],
    [
      { restoreType: 'pointInTime', restoreTime: AT },
      { kind: 'second', second, timeline: null },
    ],
    [
      { restoreType: 'pointInTime', restoreTime: '2026-11-22T18:00:00+08:00', timeline: 'tl_1' },
      { kind: 'second', second, timeline: 'tl_1' },
    ],
    [
      { restoreType: 'offset', offset: '9007199254740993' },
      { kind: 'offset', offset: 9_007_199_254_740_993n, timeline: null },
    ],
    [
      { restoreType: 'backup', backupId: 'bk_1' },
      { kind: 'backup', backup: 'bk_1' },
    ],
  ])('of %j is the one that is meant', (body, point) => {
    expect(pointOf(body)).toEqual(point);
  });

  it.each<[PointBody, string]>([
    [{ restoreType: 'pointInTime' }, '/restoreTime'],
    [{ restoreType: 'backup' }, '/backupId'],
    [{ restoreType: 'offset' }, '/offset'],
    [{ restoreType: 'latest', offset: '1' }, '/offset'],
    [{ restoreType: 'backup', backupId: 'b', timeline: 't' }, '/timeline'],
    [{ restoreType: 'pointInTime', restoreTime: '2026-02-29T10:00:00Z' }, '/restoreTime'],
  ])('of %j is refused at %s', (body, pointer) => {
    expect(pointersOf(() => pointOf(body))).toEqual([pointer]);
  });
});

describe('a selection', () => {
  it('of nothing is every key, and an empty list is not nothing', () => {
    expect(selectorOf({})).toBeNull();
    expect(pointersOf(() => selectorOf({ types: [] }))).toEqual(['/types']);
  });

  it('holds bytes of keys, patterns, databases and what is left out', () => {
    const spec = selectorOf({
      filterKeys: ['a\\x00b', 'ä'],
      filterGlobs: ['cart:*'],
      databases: [0, 3],
      excludeRegexes: ['tmp:.*'],
    });
    expect(spec).toEqual({
      include: [
        { kind: 'key', key: Buffer.from('a\0b') },
        { kind: 'key', key: Buffer.from('ä') },
        { kind: 'glob', pattern: 'cart:*' },
      ],
      exclude: [{ kind: 'regex', pattern: 'tmp:.*' }],
      ...{ dbs: [0, 3], excludeDbs: [], types: null, excludeTypes: [] },
    });
  });

  it.each([
    [{ filterKeys: ['ok', '\\q'] }, '/filterKeys/1'],
    [{ excludeRegexes: ['('] }, '/excludeRegexes/0'],
  ])('%j is refused at %s', (body, pointer) => {
    expect(pointersOf(() => selectorOf(body))).toEqual([pointer]);
  });
});

describe('expiry times', () => {
  const point = { kind: 'second', second } as const;
  const choice = (body: TtlBody, ofKeys = true): unknown => ttlOf(body, point, ofKeys, NOW_MS);

  it('stay for a whole instance, and what was left stays left for keys', () => {
    expect([choice({}, false), choice({})]).toEqual([{ mode: 'absolute' }, { mode: 'remaining' }]);
    expect(choice({ ttl: { mode: 'keep' } })).toEqual({ mode: 'absolute' });
    expect(choice({ ttl: { mode: 'shift', shiftSeconds: -60 } })).toEqual({
      ...{ mode: 'shift', byMs: -60_000 },
    });
  });

  it('are counted from the end of the second of timeShift, as of a rebase', () => {
    const toMs = Date.parse('2026-11-22T11:00:00.999Z');
    const to = '2026-11-22T11:00:00Z';
    expect(choice({ timeShift: to })).toEqual({ mode: 'rebase', toMs });
    expect(choice({ ttl: { mode: 'rebase', to } })).toEqual({ mode: 'rebase', toMs });
  });

  it.each<[TtlBody, boolean, string]>([
    [{ timeShift: '2026-11-22T09:59:59Z' }, true, '/timeShift'],
    [{ timeShift: '2026-11-22T12:00:01Z' }, true, '/timeShift'],
    [{ timeShift: AT }, false, '/timeShift'],
    [{ timeShift: AT, ttl: { mode: 'keep' } }, true, '/timeShift'],
    [{ ttl: { mode: 'keep', to: AT } }, true, '/ttl/to'],
    [{ ttl: { mode: 'rebase' } }, true, '/ttl/to'],
    [{ ttl: { mode: 'shift' } }, true, '/ttl/shiftSeconds'],
    [{ ttl: { mode: 'persist', shiftSeconds: 1 } }, true, '/ttl/shiftSeconds'],
  ])('of %j (keys: %s) are refused at %s', (body, ofKeys, pointer) => {
    expect(pointersOf(() => choice(body, ofKeys))).toEqual([pointer]);
  });
});

describe('expiry times of jobs', () => {
  const ports = {
    workspace: {
      catalog: { instance: () => ({}) },
      config: {
        ...{ instances: [{ id: 'orders' }], clone: { ports: { from: 1, to: 2 } } },
        worker: { allowTargets: [] },
      },
    },
    clock: steppingClock(NOW_MS),
    secrets: {},
  } as unknown as HandlerPorts;
  const actor = { name: 'test', via: 'token' } as const;
  const spec = selectorOf({ filterKeys: ['a'] });
  const selector = spec && (selectorToJson(spec) as Json);
  const ttlKept = async (
    handler: Pick<JobHandler, 'check'>,
    request: Readonly<Record<string, Json>>,
  ): Promise<unknown> => {
    const kept = await handler.check({ kind: 'restore', instance: 'orders', request, actor });
    return (kept as { readonly ttl: Json }).ttl;
  };
  const clones = {
    check: ({ request, actor: asker }: JobOrder) =>
      checkClone(request, {} as Provisioners, asker) as unknown as Promise<Json>,
  };
  const jobs = [
    [
      'restore',
      (ttl: Json) =>
        ttlKept(restoreHandler(ports), { point: { kind: 'latest' }, target: { kind: 'new' }, ttl }),
    ],
    [
      'write-back',
      (ttl: Json) => ttlKept(writeBackHandler(ports), { point: { kind: 'latest' }, selector, ttl }),
    ],
    [
      'clone',
      (ttl: Json) =>
        ttlKept(clones, {
          ...{ source: { kind: 'latest' }, target: { kind: 'local' }, name: 'twin', ttl },
        }),
    ],
  ] as const;
  const most = SHIFT_SECONDS_MAX * 1000;

  it.each(jobs)('of a %s are those of every other, shifts backwards too', async (_, keptOf) => {
    for (const byMs of [-3_600_000, -most, most]) {
      expect(await keptOf({ mode: 'shift', byMs })).toEqual({ mode: 'shift', byMs });
    }
    const wrong: readonly Json[] = [
      ...[-most - 1, 0.5, '1', null].map((byMs) => ({ mode: 'shift', byMs })),
      ...[{ mode: 'rebase', toMs: -1 }, { mode: 'persist', toMs: 1 }, { mode: 'shift' }],
    ];
    for (const ttl of wrong) {
      await expect((async () => keptOf(ttl))()).rejects.toMatchObject({
        code: 'TM_USAGE',
        context: { pointer: expect.stringMatching(/^\/ttl/) as string },
      });
    }
  });

  it('of a plan are shifted as far back as those of its restore', () => {
    const { shiftSeconds } = PlanBody.properties.ttl.properties;
    expect(shiftSeconds).toMatchObject({ minimum: -SHIFT_SECONDS_MAX, maximum: SHIFT_SECONDS_MAX });
  });
});

describe('an order', () => {
  const body: RestoreBodyFields = {
    ...{ restoreType: 'offset', offset: '81726354', filterKeys: ['a'] },
    target: { kind: 'original' },
  };

  it('into the original is a write-back of keys, JSON through and through', () => {
    const order = orderOf(wishOf(body, NOW_MS), body);
    expect(JSON.parse(JSON.stringify(order))).toEqual({
      kind: 'write-back',
      request: {
        point: { kind: 'offset', offset: '81726354', timeline: null },
        selector: expect.objectContaining({ include: [{ key: 'YQ==' }] }) as unknown,
        ...{ ttl: { mode: 'remaining' }, onConflict: 'skip', missingKeys: 'delete' },
      },
    });
    const kept: RestoreBodyFields = { ...body, missingKeys: 'keep' };
    expect(orderOf(wishOf(kept, NOW_MS), kept).request).toMatchObject({ missingKeys: 'keep' });
  });

  it('into another server holds references to its secrets, and says what may be emptied', () => {
    const target: TargetBody = {
      kind: 'address',
      url: 'rediss://db:6379',
      passwordRef: 'db.pass',
      tls: { ca: ['ca.pem'] },
      allowFlush: true,
    };
    const wanted: RestoreBodyFields = { restoreType: 'latest', target, verify: 'full' };
    const { kind, request } = orderOf(wishOf(wanted, NOW_MS), wanted);
    expect(kind).toBe('restore');
    expect(request).toMatchObject({
      ...{ point: { kind: 'latest' }, selector: null, verify: 'full', allowFlush: true },
      target: { kind: 'address', passwordRef: 'db.pass', tls: { ca: ['ca.pem'] } },
    });
    expect(request).not.toHaveProperty('target.allowFlush');
  });

  it.each<[Partial<RestoreBodyFields>, string]>([
    [{ filterKeys: undefined } as unknown as Partial<RestoreBodyFields>, '/filterKeys'],
    [{ verify: 'full' }, '/verify'],
    [{ withFunctions: true }, '/withFunctions'],
    [{ target: { kind: 'new' }, missingKeys: 'keep' }, '/missingKeys'],
  ])('with %j is refused at %s', (more, pointer) => {
    expect(pointersOf(() => wishOf({ ...body, ...more }, NOW_MS))).toEqual([pointer]);
  });

  it('of many keys is advised against, and not refused', () => {
    const filterKeys = Array.from({ length: 11 }, (_, i) => `key:${i.toString()}`);
    const { warnings } = wishOf({ ...body, filterKeys }, NOW_MS);
    expect(warnings).toEqual([expect.stringMatching(/^11 keys/)]);
  });
});

it('a plan binds a restore to what was shown, for ten minutes, by whichever process', async () => {
  await using temp = await TempDir.create();
  const clock = steppingClock(NOW_MS);
  const file = { path: join(temp.path, 'control.db'), clock, logger: QUIET };
  using state = StateDatabase.open(file);
  using other = StateDatabase.open(file);
  const digestKey = (): Promise<Buffer> => Promise.resolve(Buffer.alloc(32, 7));
  const ports = { clock, random: seededRandom('plans'), digestKey };
  const shown = new PlanShelf({ state, ...ports });
  const shelf = new PlanShelf({ state: other, ...ports });
  const refused = { faults: [{ pointer: '/planId' }] };
  const { planId, untilMs } = await shown.keep('orders', { a: 1, b: 2 });
  expect(untilMs).toBe(NOW_MS + 600_000);
  await shelf.require(planId, 'orders', { b: 2, a: 1 });
  await expect(shelf.require(planId, 'orders', { a: 1 })).rejects.toMatchObject(refused);
  await expect(shelf.require(planId, 'other', { a: 1, b: 2 })).rejects.toMatchObject(refused);
  const row = state.read(() => state.query<{ digest: string }>('SELECT digest FROM plans').get());
  const unkeyed = createHash('sha256').update('{"a":1,"b":2}').digest('hex');
  expect(row?.digest).toMatch(/^[0-9a-f]{64}$/);
  expect(row?.digest).not.toBe(unkeyed);
  await clock.sleep(600_000);
  await expect(shelf.require(planId, 'orders', { a: 1, b: 2 })).rejects.toMatchObject(refused);
  const first = await shown.keep('orders', 0);
  clock.now += 1;
  const second = await shown.keep('orders', 1);
  state.write(() => {
    for (let at = 0; at < 998; at++) {
      state.run(
        'INSERT INTO plans (id, instance, digest, until_ms) VALUES (?, ?, ?, ?)',
        ...[`plan-${at.toString()}`, 'orders', '', second.untilMs],
      );
    }
  });
  clock.now += 1;
  await shelf.require(first.planId, 'orders', 0);
  await shown.keep('orders', 2);
  await expect(shelf.require(first.planId, 'orders', 0)).rejects.toMatchObject(refused);
  await shelf.require(second.planId, 'orders', 1);
});

it('a gate turns away who comes when it is full, and lets in who comes later', async () => {
  const gate = new Gate(1, 'plans');
  let open = (): void => undefined;
  const first = gate.through(() => new Promise<void>((done) => (open = done)));
  await expect(gate.through(() => Promise.resolve())).rejects.toMatchObject({
    problem: 'overloaded',
  });
  open();
  await first;
  await expect(gate.through(() => Promise.reject(new Error('own')))).rejects.toThrow('own');
  await expect(gate.through(() => Promise.resolve('in'))).resolves.toBe('in');
});
