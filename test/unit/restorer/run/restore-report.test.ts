import { describe, expect, it } from 'vitest';
import type { RestorePlan } from '../../../../services/restorer/src/plan/restore-plan.ts';
import { PhaseTimer } from '../../../../services/restorer/src/run/phase-timer.ts';
import {
  isoSecond,
  planWarnings,
  reportCut,
  reportSecond,
} from '../../../../services/restorer/src/run/restore-report.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const AT = 1_795_000_000;
const planAt = (at: number | null, notAfterMs: number | null): RestorePlan =>
  ({
    at,
    cut: { timeline: 't1', offset: 2n ** 60n, notBeforeMs: AT * 1000 + 1_003, notAfterMs },
  }) as unknown as RestorePlan;
const outline = { selection: null, sealedBytes: 0, feedBytes: 0, commands: 0 };
const warnings = (plan: RestorePlan): string[] => planWarnings({ plan, outline, selector: null });

describe('the report of a restore', () => {
  it('writes times as whole seconds in UTC and offsets as strings', () => {
    expect(reportCut(planAt(AT, AT * 1000 + 999))).toEqual({
      ...{ timeline: 't1', offset: '1152921504606846976' },
      ...{ notBefore: '2026-11-18T11:06:41Z', notAfter: '2026-11-18T11:06:40Z' },
    });
    expect([isoSecond(null), reportSecond(null)]).toEqual([null, null]);
    expect([isoSecond(1_999), reportSecond(1)]).toEqual([
      '1970-01-01T00:00:01Z',
      '1970-01-01T00:00:01Z',
    ]);
  });

  it('warns when the cut may hold commands of a later second, and else not', () => {
    expect(warnings(planAt(AT, AT * 1000 + 999))).toEqual([]);
    expect(warnings(planAt(AT, null))).toEqual([]);
    expect(warnings(planAt(null, AT * 1000 + 5_000))).toEqual([]);
    expect(warnings(planAt(AT, AT * 1000 + 1_000))).toEqual([
      expect.stringContaining('up to 2026-11-18T11:06:41Z'),
    ]);
  });
});

describe('PhaseTimer', () => {
  it('gives each phase the time since the one before, in seconds with three decimals', () => {
    const clock = steppingClock(1_000_000);
    const timer = new PhaseTimer(clock);
    clock.now += 1_234.4;
    timer.end('plan');
    clock.now += 500;
    timer.end('replay');
    clock.now += 0.2;
    timer.end('promote');
    expect(timer.phases).toEqual({ plan: 1.234, replay: 0.5, promote: 0 });
    expect(timer.elapsedSeconds).toBe(1.735);
  });

  it('adds up what comes in parts', () => {
    const clock = steppingClock(0);
    const timer = new PhaseTimer(clock);
    for (const [phase, ms] of [
      ['a', 100],
      ['b', 50],
      ['a', 25],
    ] as const) {
      clock.now += ms;
      timer.end(phase);
    }
    expect(timer.phases).toEqual({ a: 0.125, b: 0.05 });
    expect(Object.keys(timer.phases)).toEqual(['a', 'b']);
  });
});
