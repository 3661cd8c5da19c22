import { createHash } from 'node:crypto';
import { join } from 'node:path';
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
import { Compile } from 'typebox/schema';
import { CloneSchema } from '../../../services/control/src/clone/request-schema.ts';
import { RestoreJobSchema } from '../../../services/control/src/handlers/restore-request.ts';
import { SHIFT_SECONDS_MAX, TtlSchema } from '../../../services/control/src/handlers/ttl-schema.ts';
import { WriteBackJobSchema } from '../../../services/control/src/handlers/write-back.ts';
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
  const jobs = [
    ['restore', RestoreJobSchema.properties.ttl],
    ['write-back', WriteBackJobSchema.properties.ttl],
    ['clone', CloneSchema.properties.ttl],
  ] as const;

  it.each(jobs)('of a %s are those of every other, shifts backwards too', (_, schema) => {
    expect(schema).toBe(TtlSchema);
    const ttl = Compile(schema);
    expect(ttl.Check({ mode: 'shift', byMs: -3_600_000 })).toBe(true);
    expect(ttl.Check({ mode: 'shift', byMs: -SHIFT_SECONDS_MAX * 1000 })).toBe(true);
    for (const byMs of [-SHIFT_SECONDS_MAX * 1000 - 1, 0.5, '1', null]) {
      expect(ttl.Check({ mode: 'shift', byMs })).toBe(false);
    }
    expect(ttl.Check({ mode: 'rebase', toMs: -1 })).toBe(false);
    expect(ttl.Check({ mode: 'persist', toMs: 1 })).toBe(false);
  });

  it('of a plan are shifted as far back as those of its restore', () => {
    const plan = Compile(PlanBody.properties.ttl);
    expect(plan.Check({ mode: 'shift', shiftSeconds: -SHIFT_SECONDS_MAX })).toBe(true);
    expect(plan.Check({ mode: 'shift', shiftSeconds: -SHIFT_SECONDS_MAX - 1 })).toBe(false);
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
