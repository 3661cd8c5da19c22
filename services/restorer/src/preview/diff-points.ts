import { refuseForTde } from '@tidemark/catalog';
import type { NodeClient } from '@tidemark/client';
import { compileSelector, type Selector, type SelectorSpec } from '@tidemark/selector';
import type { WantedPoint } from '../plan/make-plan.ts';
import type { RestoreEnvironment } from '../run/environment.ts';
import type { RestoreReport } from '../run/restore-report.ts';
import { restoreIntoScratch, type ScratchServer } from '../scratch/scratch-server.ts';
import { refuseClearNames, tdeOf } from '../tde/instance-tde.ts';
import {
  compareSelected,
  type CompareSelectedOptions,
} from '../write-back/compare/compare-selected.ts';
import type { KeyDifference } from '../write-back/key-difference.ts';
import { openThrottle } from '../write-back/throttle/open-throttle.ts';
import { NO_THROTTLE, type Throttle } from '../write-back/throttle/throttle.ts';
import { sampleKey, type SampleKey, type SampleValues } from './key-sample.ts';
import { openLive } from './live-server.ts';
import { OutcomeTally, type OutcomeCounts } from './outcome-tally.ts';
import { hiddenKeys, type SparedServer } from './preview.ts';
import { peekValue } from './value-peek.ts';

/** Keys of each outcome that are named at most. */
export const DIFF_SAMPLE_MAX = 10_000;
/** What looking into one value takes of a server, about. */
const PEEK_COMMANDS = 3;
const PEEK_BYTES = 4_096;
/**
 * Both ends of a span in the past are restored with expiries moved by so much: whatever was alive
 * then is shown, however long ago that was. A hundred years, the most that is allowed.
 */
const SHIFT_MS = 36_500 * 86_400_000;

/** What is asked: what became of keys between two points. */
export interface DiffRequest {
  readonly instance: string;
  readonly from: WantedPoint;
  readonly to: WantedPoint | { readonly kind: 'live'; readonly server: SparedServer };
  readonly selector: SelectorSpec;
  /** Show the beginning of values. */
  readonly values: boolean;
  /** Keys of each outcome that are named, 0 to 10,000. */
  readonly sampleMax: number;
}

/** A point of a comparison. */
export interface DiffEnd {
  /** RFC 3339 UTC; null for an offset or a backup. */
  readonly at: string | null;
  /** Null for what is live. */
  readonly cut: RestoreReport['cut'] | null;
}

/** What became of keys between two points. In `sample`, `now` is the second one. */
export interface DiffReport {
  readonly instance: string;
  readonly from: DiffEnd;
  readonly to: DiffEnd;
  readonly selected: string;
  readonly counts: OutcomeCounts;
  /** Changed keys of which the value is the same to the byte, and the expiry is not. */
  readonly expiryOnly: number;
  readonly sample: readonly SampleKey[];
  readonly elapsedSeconds: number;
  readonly warnings: readonly string[];
}

/** Both servers of a comparison, opened. */
interface Ends {
  readonly then: NodeClient;
  readonly live: NodeClient;
  readonly throttle: Throttle;
  /** The instant of the second point in the time of the servers. */
  readonly nowMs: () => number;
  readonly options: Pick<CompareSelectedOptions, 'expiring' | 'wasDead'>;
  readonly shiftMs: number;
}

/**
 * Tells what became of selected keys between two points, or between one and now. Both are restored
 * into scratch servers; nothing else is written. Values of an instance with TDE are never shown.
 * @throws TidemarkError as `restore`, `TM_TDE_DENIED`; NodeError as `preview` when the second one is `live`.
 */
export async function diffPoints(
  request: DiffRequest,
  environment: RestoreEnvironment,
): Promise<DiffReport> {
  const { instance, from, to } = request;
  const { clock, signal } = environment;
  if (request.values) refuseForTde(await tdeOf(instance, environment), 'values');
  const fromMs = clock.monotonicMs();
  const selector = compileSelector(request.selector);
  const report = (
    ends: Pick<DiffReport, 'from' | 'to' | 'warnings'>,
    found: Found,
  ): DiffReport => ({
    instance,
    ...ends,
    selected: selector.describe(),
    counts: found.tally.counts,
    expiryOnly: found.tally.expiryOnly,
    sample: found.sample,
    elapsedSeconds: (clock.monotonicMs() - fromMs) / 1000,
  });
  if (to.kind === 'live') {
    const { address, latencyMaxMs, rate } = to.server;
    await using live = await openLive(address, signal);
    await refuseClearNames(instance, live, environment);
    const wish = { instance, point: from, selector: request.selector };
    await using scratch = await restoreIntoScratch(wish, environment);
    await using throttle = await openThrottle(address, { clock, latencyMaxMs, rate, signal });
    const found = await compare(request, selector, environment, {
      ...{ then: scratch.client, live, throttle, shiftMs: 0 },
      nowMs: () => clock.nowMs(),
      options: hiddenKeys(scratch, { mode: 'absolute' }, () => clock.nowMs()),
    });
    const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    const ends = { from: endOf(scratch), to: { at: now, cut: null } };
    return report({ ...ends, warnings: scratch.report.warnings }, found);
  }
  const ttl = { mode: 'shift', byMs: SHIFT_MS } as const;
  const both = { instance, ttl, selector: request.selector };
  await using first = await restoreIntoScratch({ ...both, point: from }, environment);
  await using second = await restoreIntoScratch({ ...both, point: to }, environment);
  const { at } = second.report;
  const secondMs = at === null ? -Infinity : Date.parse(at) + 999 + SHIFT_MS;
  const found = await compare(request, selector, environment, {
    ...{ then: first.client, live: second.client, throttle: NO_THROTTLE, shiftMs: SHIFT_MS },
    nowMs: () => secondMs,
    options: { wasDead: () => true },
  });
  const warnings = [...new Set([...first.report.warnings, ...second.report.warnings])];
  return report({ from: endOf(first), to: endOf(second), warnings }, found);
}

/** What a comparison found. */
interface Found {
  readonly tally: OutcomeTally;
  readonly sample: readonly SampleKey[];
}

async function compare(
  request: DiffRequest,
  selector: Selector,
  { signal, onProgress }: RestoreEnvironment,
  { then, live, throttle, nowMs, options, shiftMs }: Ends,
): Promise<Found> {
  const tally = new OutcomeTally(Math.min(request.sampleMax, DIFF_SAMPLE_MAX));
  const found = compareSelected(
    { then, live },
    { ...{ selector, throttle, signal, nowMs }, ...options, onSame: (n) => tally.addSame(n) },
  );
  for await (const batch of found) {
    for (const difference of batch) tally.add(between(difference));
    onProgress({ phase: 'compare', bytes: tally.compared, bytesTotal: 0 });
  }
  const sample: SampleKey[] = [];
  for (const difference of tally.sample) {
    let values: SampleValues | undefined;
    if (request.values) {
      await throttle.take(PEEK_COMMANDS, PEEK_BYTES);
      signal.throwIfAborted();
      values = {
        then: await peek(then, difference, 'then'),
        live: await peek(live, difference, 'live'),
      };
    }
    sample.push(sampleKey(difference, values, shiftMs));
  }
  return { tally, sample };
}

/** A key that is there at the second point has not expired by then: its life was made longer. */
function between(difference: KeyDifference): KeyDifference {
  const { outcome, live } = difference;
  return outcome === 'expired' && live !== null
    ? { ...difference, outcome: 'changed' }
    : difference;
}

async function peek(
  client: NodeClient,
  difference: KeyDifference,
  side: 'then' | 'live',
): Promise<string | null> {
  const state = difference[side];
  return state === null ? null : peekValue(client, difference.db, difference.key, state);
}

function endOf({ report }: ScratchServer): DiffEnd {
  return { at: report.at, cut: report.cut };
}
