import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { POLICY_DAYS, type BackupPolicy } from '@tidemark/catalog';
import { Timetable } from '../../services/control/src/policy/timetable.ts';
import { staggerOf } from '../../services/control/src/policy/stagger.ts';

/** Both hemispheres, half an hour of summer time, none, clocks that go forward at midnight, odd offsets. */
const ZONES = [
  'Europe/Berlin',
  'America/Sao_Paulo',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Asia/Kolkata',
  'Africa/Casablanca',
  'Africa/Cairo',
  'America/Havana',
];
/** Their clocks go forward, or back, at midnight. */
const AT_MIDNIGHT = ['Africa/Cairo', 'America/Sao_Paulo', 'America/Havana'];
const FROM_MS = Date.UTC(2000, 0, 1);
const YEARS = 30;
const DAY_MS = 86_400_000;

interface Local {
  readonly day: string;
  readonly date: string;
  readonly time: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** What a clock in a zone shows: the oracle, which knows nothing of runs. */
function localOf(ms: number, timeZone: string): Local {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-GB', {
      ...{ timeZone, hourCycle: 'h23', weekday: 'short', year: 'numeric', month: '2-digit' },
      ...{ day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' },
    });
  formats.set(timeZone, format);
  const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  return {
    day: (part['weekday'] ?? '').toLowerCase(),
    date: `${part['year'] ?? ''}-${part['month'] ?? ''}-${part['day'] ?? ''}`,
    time: `${part['hour'] ?? ''}:${part['minute'] ?? ''}`,
  };
}

function policyOf(timeZone: string, hours: readonly string[], days = POLICY_DAYS): BackupPolicy {
  return { days, hours, retainSeconds: 1, timeZone };
}

const hour = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
  .map(([h, m]) => `${String(h).padStart(2, '0')}:${String(m).padStart(2, '0')}`);
const policies = fc.record({
  timeZone: fc.constantFrom(...ZONES),
  hours: fc.uniqueArray(hour, { minLength: 1, maxLength: 4 }),
  days: fc.subarray([...POLICY_DAYS], { minLength: 1 }),
});
const instants = fc.integer({ min: FROM_MS / 1000, max: FROM_MS / 1000 + YEARS * 366 * 86_400 });

describe('the runs of a policy', () => {
  // The hours in which clocks are put forward or back somewhere in the list.
  for (const timeZone of ZONES) {
    it(`come once a day at their wall time over ${YEARS} years, in ${timeZone}`, () => {
      const wanted = AT_MIDNIGHT.includes(timeZone) ? '00:15' : '02:15';
      const table = new Timetable(policyOf(timeZone, [wanted]));
      const end = FROM_MS + YEARS * 365.25 * DAY_MS;
      let before = FROM_MS;
      let dateBefore = '';
      let gaps = 0;
      for (let at = table.next(before); at !== null && at < end; at = table.next(at)) {
        if (at <= before) expect.fail(`${at} is not after ${before}`);
        const { time, date } = localOf(at, timeZone);
        if (date === dateBefore) expect.fail(`twice on ${date}`);
        if (time !== wanted) {
          gaps += 1;
          // The first instant after a gap: the second before shows less than the wall time, it more.
          const before1 = localOf(at - 1000, timeZone);
          const less = before1.date < date || before1.time < wanted;
          if (!less || time <= wanted) expect.fail(`${date} ${time}`);
        } else if (localOf(at - 3_600_000, timeZone).time === wanted) {
          expect.fail(`the second time on ${date}`);
        }
        // No day is passed over: 25 hours, and the half hour that a gap may add.
        if (dateBefore !== '' && at - before > 25.6 * 3_600_000) expect.fail(`after ${dateBefore}`);
        [before, dateBefore] = [at, date];
      }
      expect(gaps).toBeLessThanOrEqual(2 * YEARS);
    });
  }

  it('rise strictly, and each is the next one of every instant since the one before', () => {
    fc.assert(
      fc.property(policies, instants, fc.double({ min: 0, max: 1, noNaN: true }), (p, s, share) => {
        const table = new Timetable(policyOf(p.timeZone, p.hours, p.days));
        const runs = table.coming(s * 1000, 12);
        expect(runs).toHaveLength(12);
        let before = s * 1000;
        for (const run of runs) {
          expect(run).toBeGreaterThan(before);
          expect(table.next(before + Math.floor(share * (run - before - 1)))).toBe(run);
          expect(table.last(run)).toBe(run);
          before = run;
        }
        const last = runs.at(-1) ?? 0;
        expect(table.between(s * 1000, last, 100)).toEqual(runs);
        expect(table.last(last + 1)).toBe(last);
      }),
      { numRuns: 60 },
    );
  });

  it('fall on a day and a time of the policy, or at the end of a gap', () => {
    fc.assert(
      fc.property(policies, instants, (p, s) => {
        const table = new Timetable(policyOf(p.timeZone, p.hours, p.days));
        for (const run of table.coming(s * 1000, 6)) {
          const { day, time } = localOf(run, p.timeZone);
          const [before, at] = [localOf(run - 1000, p.timeZone), localOf(run, p.timeZone)];
          const isGap =
            minutesOf(at.time) - minutesOf(before.time) !== 1 &&
            !(before.time === '23:59' && at.time === '00:00');
          expect(isGap || (p.hours.includes(time) && p.days.some((each) => each === day))).toBe(
            true,
          );
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the stagger of an instance', () => {
  it('is the same at every time, and less than the span', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/), fc.nat(43_200), (id, seconds) => {
        const own = staggerOf(id, seconds * 1000);
        expect(own).toBe(staggerOf(id, seconds * 1000));
        expect(own).toBeGreaterThanOrEqual(0);
        expect(own === 0 || own < seconds * 1000).toBe(true);
      }),
    );
  });

  it('leaves no minute of ten with more than a fourth of 64 instances', () => {
    const minutes = new Map<number, number>();
    for (let index = 0; index < 64; index++) {
      const minute = Math.floor(staggerOf(`orders-${index}`, 600_000) / 60_000);
      minutes.set(minute, (minutes.get(minute) ?? 0) + 1);
    }
    expect(Math.max(...minutes.values())).toBeLessThanOrEqual(16);
    expect(minutes.size).toBeGreaterThanOrEqual(9);
  });
});

function minutesOf(time: string): number {
  const [h = '0', m = '0'] = time.split(':');
  return Number(h) * 60 + Number(m);
}
