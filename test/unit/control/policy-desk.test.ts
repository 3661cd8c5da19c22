import type { BackupPolicy } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { PolicyBench, SHOP } from '../../support/policy-bench.ts';

const START_MS = Date.parse('2027-01-01T00:00:00Z');
const EVE = { name: 'eve', via: 'cli' } as const;
const WEEKLY: BackupPolicy = {
  days: ['mon'],
  hours: ['02:30'],
  retainSeconds: 86_400,
  timeZone: 'Europe/Berlin',
  keepLast: 3,
  flashback: true,
};

describe('PolicyDesk', () => {
  it('shows what the host says until somebody sets a policy, and who did', async () => {
    const settings = 'hours = ["03:00"]\ntime_zone = "Asia/Kolkata"\nretain = "2d"\nkeep_last = 4';
    await using bench = await PolicyBench.open(START_MS, settings);
    const host = await bench.desk.get(SHOP);
    expect(host).toMatchObject({
      ...{ instance: SHOP, source: 'host', setBy: null, setMs: null },
      policy: { hours: ['03:00'], timeZone: 'Asia/Kolkata', retainSeconds: 172_800, keepLast: 4 },
      nextBackupMs: Date.parse('2027-01-01T21:30:00Z'),
    });
    bench.clock.pass(5_000);
    const set = await bench.desk.set(SHOP, WEEKLY, { actor: EVE, ifMatch: host.etag });
    expect(set).toEqual({
      ...{ instance: SHOP, policy: WEEKLY, source: 'instance', setBy: 'eve' },
      setMs: START_MS + 5_000,
      etag: '"policy-1"',
      nextBackupMs: Date.parse('2027-01-04T01:30:00Z'),
    });
    expect(await bench.desk.get(SHOP)).toEqual(set);
  });

  it('sets nothing over a policy that its caller has not seen', async () => {
    await using bench = await PolicyBench.open(START_MS);
    const { etag } = await bench.desk.get(SHOP);
    const options = { actor: EVE, ifMatch: etag };
    const both = await Promise.allSettled([
      bench.desk.set(SHOP, WEEKLY, options),
      bench.desk.set(SHOP, { ...WEEKLY, keepLast: 5 }, options),
    ]);
    const refused = both.filter((each) => each.status === 'rejected');
    expect(refused).toHaveLength(1);
    expect(refused[0]?.reason).toMatchObject({
      code: 'TM_POLICY_CHANGED',
      context: { instance: SHOP, etag: '"policy-1"' },
    });
    await bench.desk.set(SHOP, { ...WEEKLY, keepLast: 7 }, { actor: EVE, ifMatch: null });
    await bench.desk.set(SHOP, { ...WEEKLY, keepLast: 8 }, { actor: EVE, ifMatch: '*' });
    expect(await bench.desk.get(SHOP)).toMatchObject({
      etag: '"policy-3"',
      policy: { keepLast: 8 },
    });
  });

  it.each<[string, Partial<BackupPolicy>, string]>([
    ['no day', { days: [] }, '/days'],
    ['a day twice', { days: ['mon', 'tue', 'mon'] }, '/days/2'],
    ['a day that is none', { days: ['mon', 'noday' as 'mon'] }, '/days/1'],
    ['no time', { hours: [] }, '/hours'],
    ['a time that is none', { hours: ['03:00', '24:00'] }, '/hours/1'],
    ['a time twice', { hours: ['03:00', '03:00'] }, '/hours/1'],
    ['a span in UTC in another zone', { hours: ['03:00Z-04:00Z'] }, '/hours/0'],
    ['a span without length', { hours: ['03:00Z-03:00Z'], timeZone: 'UTC' }, '/hours/0'],
    ['too many times', { hours: times(25) }, '/hours'],
    ['a zone that is none', { timeZone: 'Mars/Olympus' }, '/timeZone'],
    ['an offset for a zone', { timeZone: '+01:00' }, '/timeZone'],
    ['nothing kept', { retainSeconds: 0 }, '/retainSeconds'],
    ['part of a second', { retainSeconds: 1.5 }, '/retainSeconds'],
    ['no backup kept', { keepLast: 0 }, '/keepLast'],
    ['too many backups kept', { keepLast: 1001 }, '/keepLast'],
  ])('refuses %s, and points at it', async (_, over, pointer) => {
    await using bench = await PolicyBench.open(START_MS);
    const set = bench.desk.set(SHOP, { ...WEEKLY, ...over }, { actor: EVE, ifMatch: null });
    await expect(set).rejects.toMatchObject({ code: 'TM_POLICY', context: { pointer } });
    expect((await bench.desk.get(SHOP)).source).toBe('host');
  });

  it('answers for an instance that nobody knows', async () => {
    await using bench = await PolicyBench.open(START_MS);
    const options = { actor: EVE, ifMatch: null };
    for (const asked of [
      bench.desk.get('other'),
      bench.desk.next('other', 3),
      bench.desk.set('other', WEEKLY, options),
    ]) {
      await expect(asked).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
    }
  });

  it('reads the policy of an early release, and one of a zone that this host does not know', async () => {
    await using bench = await PolicyBench.open(START_MS, 'keep_last = 2');
    const early: BackupPolicy = { days: ['mon'], hours: ['03:00Z-04:00Z'], retainSeconds: 60 };
    await bench.setElsewhere(early, START_MS);
    expect(await bench.desk.get(SHOP)).toMatchObject({
      policy: { ...early, timeZone: 'UTC', keepLast: 2, flashback: true },
      ...{ setBy: null, setMs: START_MS, nextBackupMs: Date.parse('2027-01-04T03:00:00Z') },
    });
    await bench.setElsewhere({ ...early, hours: ['03:00'], timeZone: 'Mars/Olympus' }, START_MS);
    expect(await bench.desk.get(SHOP)).toMatchObject({ nextBackupMs: null });
    await expect(bench.desk.next(SHOP, 3)).rejects.toMatchObject({ code: 'TM_POLICY' });
    await bench.look(bench.scheduler());
    expect(bench.noted).toEqual([]);
  });
});

function times(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `03:${String(index).padStart(2, '0')}`);
}
