import type { BackupPolicy } from '@tidemark/catalog';
import { CatalogError, StoreError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { Timetable } from '../../../services/control/src/policy/timetable.ts';
import { runsOfSnapshots } from '../../../services/control/src/policy/runs-of-snapshots.ts';
import { PolicyBench, SHOP } from '../../support/policy-bench.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const at = (text: string): number => Date.parse(text);
const AT_THREE = `hours = ["03:00"]`;

describe('PolicyScheduler', () => {
  it('asks for the backup of each run once, with the policy as its actor', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    for (let day = 0; day < 3; day++) {
      await bench.pass(scheduler, DAY_MS);
      bench.finish();
    }
    expect(bench.noted).toEqual([
      '2027-01-01T03:00Z submitted',
      '2027-01-02T03:00Z submitted',
      '2027-01-03T03:00Z submitted',
    ]);
    const { jobs } = bench.jobs.list({ instance: SHOP, pageSize: 10 });
    expect(jobs).toHaveLength(3);
    expect(jobs[0]).toMatchObject({
      ...{ kind: 'backup', request: { mode: 'automated' } },
      actor: { name: 'policy', via: 'policy' },
    });
  });

  it('catches up the newest of the runs that were missed while nobody looked, once', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    await bench.pass(bench.scheduler(), DAY_MS);
    bench.finish();
    bench.clock.pass(3 * DAY_MS);
    const next = bench.scheduler();
    await bench.look(next);
    await bench.look(next);
    expect(bench.noted).toEqual([
      '2027-01-01T03:00Z submitted',
      '2027-01-02T03:00Z missed',
      '2027-01-03T03:00Z missed',
      '2027-01-04T03:00Z submitted',
    ]);
    bench.finish();
    await bench.look(bench.scheduler());
    expect(bench.jobCount).toBe(2);
    expect(bench.desk.missedCount(SHOP)).toBe(2);
    const [, missed] = bench.desk.runs(SHOP, 2);
    expect(missed?.reason).toContain('2027-01-04T03:00:00.000Z');
  });

  it('makes no run twice and loses none when the clock steps across it, forward or back', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    bench.clock.set(at('2027-01-01T02:50Z'));
    await bench.look(scheduler);
    // Forward across the run, and back in front of it.
    bench.clock.set(at('2027-01-01T05:00Z'));
    await bench.look(scheduler);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted']);
    bench.finish();
    bench.clock.set(at('2027-01-01T02:55Z'));
    await bench.pass(scheduler, 2 * HOUR_MS);
    expect(bench.jobCount).toBe(1);
    // The run of the next day is made, and a step back behind it makes it no second time.
    await bench.pass(scheduler, DAY_MS);
    bench.finish();
    bench.clock.set(at('2027-01-02T02:30Z'));
    await bench.pass(scheduler, HOUR_MS);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted', '2027-01-02T03:00Z submitted']);
    expect(bench.jobCount).toBe(2);
  });

  it('makes the runs of days that a clock was ahead by, once it is set right', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    bench.clock.set(at('2029-01-01T12:00Z'));
    await bench.look(scheduler);
    bench.finish();
    expect(bench.noted).toEqual(['2029-01-01T03:00Z submitted']);
    bench.clock.set(at('2027-01-01T12:00Z'));
    await bench.pass(scheduler, HOUR_MS);
    bench.finish();
    await bench.pass(scheduler, DAY_MS);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted', '2027-01-02T03:00Z submitted']);
  });

  it('does nothing by a clock that was not set yet, and forgets nothing', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    await bench.pass(bench.scheduler(), DAY_MS);
    bench.finish();
    // A host without a clock of its own was started, and has no network yet.
    const scheduler = bench.scheduler();
    bench.clock.set(at('1970-01-10T00:00Z'));
    await bench.pass(scheduler, HOUR_MS);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted']);
    expect(bench.lines.join('\n')).toContain('policy-clock-is-not-set');
    bench.clock.set(at('2027-01-02T02:00Z'));
    await bench.pass(scheduler, 2 * HOUR_MS);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted', '2027-01-02T03:00Z submitted']);
  });

  it('loses no run to a policy that was set by a clock that was ahead', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const policy: BackupPolicy = { days: DAYS, hours: ['14:00'], retainSeconds: 60 };
    await bench.setElsewhere(policy, at('2028-01-01T00:00Z'));
    await bench.pass(bench.scheduler(), DAY_MS);
    expect(bench.noted).toEqual(['2027-01-01T14:00Z submitted']);
  });

  it('notes a run as skipped, with the reason, while another backup is under way', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const order = { kind: 'backup', instance: SHOP, request: { mode: 'manual' } } as const;
    const manual = await bench.jobs.submit({ ...order, actor: { name: 'eve', via: 'cli' } });
    const scheduler = bench.scheduler();
    await bench.pass(scheduler, 4 * HOUR_MS);
    const [skipped] = bench.desk.runs(SHOP, 1);
    expect(skipped).toMatchObject({ state: 'skipped', job: manual.id });
    expect(skipped?.reason).toBe(`a backup was being made: job ${manual.id} is open`);
    expect(bench.jobCount).toBe(1);
    // One that is made past the jobs is found out when the job of the run ends.
    bench.finish();
    await bench.pass(scheduler, DAY_MS);
    expect(bench.noted.at(-1)).toBe('2027-01-02T03:00Z submitted');
    bench.finish('TM_BUSY');
    await bench.pass(scheduler, HOUR_MS);
    expect(bench.noted.at(-1)).toBe('2027-01-02T03:00Z skipped');
    expect(bench.desk.runs(SHOP, 1)[0]?.reason).toContain('another one is made');
  });

  it('tries again what passes, and notes what does not', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    bench.refusal = new StoreError('TM_STORE_IO', 'the store is away');
    await bench.pass(scheduler, 4 * HOUR_MS);
    expect(bench.noted).toEqual([]);
    bench.refusal = new CatalogError('TM_JOB_LIMIT', 'too many wait');
    await bench.pass(scheduler, HOUR_MS);
    expect(bench.noted).toEqual([]);
    bench.refusal = null;
    await bench.pass(scheduler, HOUR_MS);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted']);
    bench.finish();
    bench.refusal = new CatalogError('TM_NOT_FOUND', 'no such instance');
    await bench.pass(scheduler, DAY_MS);
    expect(bench.noted.at(-1)).toBe('2027-01-02T03:00Z skipped');
  });

  it('asks again for a run whose backup failed, until it is made', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    await bench.pass(scheduler, 4 * HOUR_MS);
    bench.finish('TM_ARCHIVER_DOWN');
    await bench.look(scheduler);
    expect(bench.jobCount).toBe(1);
    await bench.pass(scheduler, 3 * 60_000, 60_000);
    expect(bench.jobCount).toBe(2);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted']);
    // A process that was started again goes on with it.
    bench.finish('TM_ARCHIVER_DOWN');
    const next = bench.scheduler();
    await bench.pass(next, 10 * 60_000, 60_000);
    expect(bench.jobCount).toBe(3);
    bench.finish();
    await bench.pass(next, 12 * HOUR_MS);
    expect(bench.jobCount).toBe(3);
    const { jobs } = bench.jobs.list({ instance: SHOP, pageSize: 10 });
    expect(bench.desk.runs(SHOP, 1)[0]).toMatchObject({ state: 'submitted', job: jobs[0]?.id });
  });

  it('notes a run whose backup failed to the end as missed, with what it failed with', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    for (let half = 0; half < 54; half++) {
      await bench.pass(scheduler, HOUR_MS / 2);
      bench.finish('TM_ARCHIVER_DOWN');
    }
    expect(bench.noted).toEqual(['2027-01-01T03:00Z missed', '2027-01-02T03:00Z submitted']);
    expect(bench.desk.runs(SHOP, 2)[1]?.reason).toContain('TM_ARCHIVER_DOWN');
    expect(bench.jobCount).toBeGreaterThan(10);
    expect(bench.jobCount).toBeLessThan(40);
  });

  it('notes a run whose backup failed after the next one was due, by a process that began since, too', async () => {
    await using bench = await PolicyBench.open(
      at('2027-01-01T00:00Z'),
      `hours = ["03:00", "04:00"]`,
    );
    const [first, second] = [bench.scheduler(), bench.scheduler()];
    for (const [scheduler, day] of [
      [first, '2027-01-01'],
      [second, '2027-01-02'],
    ] as const) {
      bench.clock.set(at(`${day}T02:59Z`));
      await bench.pass(first, 70 * 60_000, 10 * 60_000);
      expect(bench.noted.slice(-2)).toEqual([`${day}T03:00Z submitted`, `${day}T04:00Z skipped`]);
      bench.finish('TM_ARCHIVER_DOWN');
      await bench.pass(scheduler, 10 * 60_000, 5 * 60_000);
      expect(bench.noted.slice(-2)).toEqual([`${day}T03:00Z missed`, `${day}T04:00Z skipped`]);
      expect(bench.desk.runs(SHOP, 2)[1]?.reason).toContain('TM_ARCHIVER_DOWN');
    }
    expect(bench.jobCount).toBe(2);
  });

  it('makes one job of a run that two processes look at, and of one that was killed before its note', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const [one, two] = [bench.scheduler(), bench.scheduler()];
    bench.clock.pass(3 * HOUR_MS);
    await Promise.all([bench.look(one), bench.look(two)]);
    expect(bench.jobCount).toBe(1);
    bench.rows.forgetAfter(SHOP, 0); // as if it had been killed in between
    bench.finish();
    await bench.look(bench.scheduler());
    expect(bench.jobCount).toBe(1);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted']);
  });

  it('asks for nothing that a policy names before it was set', async () => {
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    await bench.pass(scheduler, 15 * HOUR_MS);
    bench.finish();
    const { etag, policy } = await bench.desk.get(SHOP);
    const actor = { name: 'eve', via: 'cli' } as const;
    const hours = ['14:00', '16:00'];
    await bench.desk.set(SHOP, { ...policy, hours }, { actor, ifMatch: etag });
    await bench.pass(scheduler, 2 * HOUR_MS);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted', '2027-01-01T16:00Z submitted']);
  });

  it('makes the run that a policy is said to begin next, when it was set between its time and its place', async () => {
    const settings = `${AT_THREE}\nspread = "1h"`;
    await using bench = await PolicyBench.open(at('2026-12-31T00:00Z'), settings);
    const scheduler = bench.scheduler();
    await bench.pass(scheduler, DAY_MS);
    bench.finish();
    bench.clock.set(at('2027-01-01T03:00:05Z'));
    const { etag, policy } = await bench.desk.get(SHOP);
    const actor = { name: 'eve', via: 'cli' } as const;
    const longer = { ...policy, retainSeconds: 2 * policy.retainSeconds };
    const set = await bench.desk.set(SHOP, longer, { actor, ifMatch: etag });
    expect(set.nextBackupMs).toBeLessThan(at('2027-01-01T04:00Z'));
    await bench.pass(scheduler, HOUR_MS, 60_000);
    expect(bench.noted).toEqual(['2026-12-31T03:00Z submitted', '2027-01-01T03:00Z submitted']);
  });

  it('begins each run at the place of its instance in the spread, a late one too', async () => {
    const settings = `${AT_THREE}\nspread = "1h"`;
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), settings);
    const [next] = await bench.desk.next(SHOP, 1);
    const placeMs = (next?.beginMs ?? 0) - (next?.dueMs ?? 0);
    expect(placeMs).toBeGreaterThan(60_000);
    expect(placeMs).toBeLessThan(HOUR_MS);
    const scheduler = bench.scheduler();
    bench.clock.set(at('2027-01-01T03:00Z') + placeMs - 1_000);
    await bench.look(scheduler);
    expect(bench.jobCount).toBe(0);
    bench.clock.pass(1_000);
    await bench.look(scheduler);
    expect(bench.noted).toEqual(['2027-01-01T03:00Z submitted']);
    bench.finish();
    // Found late, as by every instance of a host that was down: it waits its part of the spread.
    bench.clock.pass(DAY_MS + 2 * HOUR_MS);
    await bench.look(scheduler);
    expect(bench.jobCount).toBe(1);
    bench.clock.pass(placeMs - 1_000);
    await bench.look(scheduler);
    expect(bench.jobCount).toBe(1);
    bench.clock.pass(1_000);
    await bench.look(scheduler);
    expect(bench.noted.at(-1)).toBe('2027-01-02T03:00Z submitted');
  });

  it('goes on after its database was lost, and makes no second backup of a run that stands', async () => {
    const table = new Timetable({ days: DAYS, hours: ['03:00'], retainSeconds: 1 });
    const [one, two] = [at('2027-01-01T03:00:20Z'), at('2027-01-02T07:00Z')];
    const snapshots = [
      { backup: 'bk-1', mode: 'automated', startedMs: one },
      { backup: 'bk-m', mode: 'manual', startedMs: one + DAY_MS + 60_000 },
      { backup: 'bk-2', mode: 'automated', startedMs: two },
      { backup: 'bk-3', mode: 'automated', startedMs: two + 400 * DAY_MS },
    ] as const;
    const runs = runsOfSnapshots(SHOP, snapshots, { table, staggerMs: 0 }, two + DAY_MS);
    expect(runs.map(({ dueMs, state }) => [dueMs, state])).toEqual([
      [at('2027-01-01T03:00Z'), 'made'],
      [at('2027-01-02T03:00Z'), 'made'],
    ]);
    await using bench = await PolicyBench.open(at('2027-01-01T00:00Z'), AT_THREE);
    const scheduler = bench.scheduler();
    await bench.pass(scheduler, 3 * DAY_MS);
    await bench.loseState();
    await bench.pass(scheduler, HOUR_MS);
    await bench.pass(scheduler, DAY_MS);
    // Without a backup that stands the newest run is made again: rather one too many than one too few.
    expect(bench.noted).toEqual(['2027-01-03T03:00Z submitted', '2027-01-04T03:00Z skipped']);
  });
});
