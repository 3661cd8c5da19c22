import { UsageError } from '@tidemark/core';
import { diffPoints, type DiffReport, type DiffRequest } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { freshen, withLease, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countsText, sampleText, valuesText } from './outcome-text.ts';
import { comparisonProgress, wantedSelector } from './preview.ts';
import { restoreEnvironment } from './restore-environment.ts';
import { pointOf } from './restore-point.ts';
import type { SelectorFlags } from './selector-flags.ts';
import type { SpareFlags } from './spare-flags.ts';
import { sparedOriginal } from './spared-original.ts';

const LIMIT_MAX = 10_000;

/** Flags of `tidemark diff` as commander gives them. */
export interface DiffFlags extends SelectorFlags, SpareFlags {
  readonly from: string;
  readonly to: string;
  readonly timeline?: string;
  readonly values?: boolean;
  readonly limit: string;
}

/** Shows what became of selected keys between two points, or one and now. */
export async function diffKeys(
  id: string,
  flags: DiffFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const selector = await wantedSelector(flags, invocation);
  const nowMs = systemClock.nowMs();
  const { timeline } = flags;
  const point = (text: string): DiffRequest['from'] => {
    const offset = /^\d+$/.test(text);
    const where = offset ? { offset: text } : { at: text };
    return pointOf({ ...where, ...(timeline === undefined ? {} : { timeline }) }, nowMs);
  };
  const from = point(flags.from);
  const sampleMax = limitOf(flags.limit);
  const live = flags.to === 'live';
  const until = live ? null : point(flags.to);
  using workspace = await Workspace.open(invocation);
  const to =
    until ?? ({ kind: 'live', server: await sparedOriginal(id, flags, workspace.config) } as const);
  await freshen(workspace, id, signal);
  const lease = { instance: id, fromSecond: null, isLong: false };
  const report = await withLease(lease, workspace, invocation.printer, () =>
    diffPoints(
      { instance: id, from, to, selector, values: flags.values === true, sampleMax },
      restoreEnvironment(workspace, invocation, comparisonProgress),
    ),
  );
  for (const warning of report.warnings) printer.warn(warning);
  printer.result(report, () => diffText(report, flags.values === true));
}

function limitOf(text: string): number {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new UsageError('TM_USAGE', `--limit is not a number from 1 to ${LIMIT_MAX.toString()}`);
}

function diffText(report: DiffReport, values: boolean): string[] {
  const { instance, from, to, counts, expiryOnly, selected, sample, elapsedSeconds } = report;
  const end = to.cut === null ? 'now' : nameOf(to);
  return [
    `diff: ${instance} from ${nameOf(from)} to ${end}, in ${elapsedSeconds.toFixed(1)} s`,
    `selected: ${selected}`,
    `keys: ${countsText(counts, expiryOnly)}`,
    ...(values ? valuesText(sample) : sampleText(sample, counts)),
  ];
}

function nameOf({ at, cut }: DiffReport['from']): string {
  return at ?? `offset ${cut?.offset ?? '?'}`;
}
