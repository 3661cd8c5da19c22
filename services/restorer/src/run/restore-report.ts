import type { FactsReport } from '../facts/facts-report.ts';
import type { Vanishing } from '../feed/vanish-forecast.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import { selectionWarnings, type SelectionReport } from './selection-report.ts';
import type { SkipReport } from './skip-report.ts';
import type { RestorePath } from './restore-path.ts';

/** What `restore` ends with. Times RFC 3339 UTC whole seconds, offsets decimal strings. */
export interface RestoreReport {
  readonly id: string;
  /** `nothing`: no selected key was there, and nothing was written. */
  readonly state: 'succeeded' | 'planned' | 'replayed' | 'aborted' | 'nothing';
  readonly at: string | null;
  readonly cut: {
    readonly timeline: string;
    readonly offset: string;
    /** What comes after the cut started no earlier: later than `notAfter` where the node was idle. */
    readonly notBefore: string | null;
    /** What comes before the cut started no later. */
    readonly notAfter: string | null;
  };
  /** The TTL choice as it is written on the command line. */
  readonly ttl: string;
  /** How the data gets into the target; null when no target was looked at. */
  readonly path: RestorePath | null;
  readonly keys: number;
  /** Keys whose (new) expiry has passed: they go within a second of the promotion. */
  readonly vanishing: number;
  /** Whether they are so many for certain: `Vanishing`. */
  readonly vanishingBound: Vanishing['bound'];
  /** Names of some of them. */
  readonly vanishingSample: readonly string[];
  readonly commands: number;
  readonly bytes: number;
  readonly elapsedSeconds: number;
  readonly target: string;
  /** Seconds that each phase took. */
  readonly phases: Readonly<Record<string, number>>;
  /** What was selected; null: every key. */
  readonly selection: SelectionReport | null;
  /** What leaving commands out meant; null when none were, or when it is not known any more. */
  readonly skip: SkipReport | null;
  /** Users and settings that were written; null when none were asked for. */
  readonly facts: FactsReport | null;
  readonly warnings: readonly string[];
}

/** The cut of a plan as it is reported. */
export function reportCut(plan: RestorePlan): RestoreReport['cut'] {
  const { timeline, offset, notBeforeMs, notAfterMs } = plan.cut;
  return {
    timeline,
    offset: offset.toString(),
    notBefore: isoSecond(notBeforeMs),
    notAfter: isoSecond(notAfterMs),
  };
}

/** Whole seconds, rounded down; null stays null. */
export function isoSecond(ms: number | null): string | null {
  if (ms === null) return null;
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

/** Warnings that a plan itself gives rise to. */
export function planWarnings({
  plan,
  outline,
  selector,
}: Pick<PreparedPlan, 'plan' | 'outline' | 'selector'>): string[] {
  return [...cutWarnings(plan), ...selectionWarnings(selector, outline.selection)];
}

function cutWarnings(plan: RestorePlan): string[] {
  const { at, cut } = plan;
  if (at === null) return [];
  const { notBeforeMs, notAfterMs } = cut;
  if (notBeforeMs === null && notAfterMs === null && plan.reads.length > 0) {
    return [
      'the cut may not be exact to the second: no time stamp tells when the last commands before it ran',
    ];
  }
  if (notAfterMs === null || notAfterMs < (at + 1) * 1000) return [];
  return [
    `the cut is not exact to the second: it may hold commands that started up to ${
      isoSecond(notAfterMs) ?? '?'
    } (no time stamps in this part of the log)`,
  ];
}

/** A whole second as it is reported. */
export function reportSecond(second: number | null): string | null {
  return second === null ? null : isoSecond(second * 1000);
}
