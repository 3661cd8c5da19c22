import type { NodeAddress } from '@tidemark/client';
import { compileSelector, type SelectorSpec } from '@tidemark/selector';
import type { SkipRange } from '../closure/skip-range.ts';
import type { WantedPoint } from '../plan/make-plan.ts';
import type { TtlChoice } from '../plan/ttl-rule.ts';
import type { RestoreEnvironment } from '../run/environment.ts';
import type { RestoreReport } from '../run/restore-report.ts';
import { restoreIntoScratch, type ScratchServer } from '../scratch/scratch-server.ts';
import {
  compareSelected,
  type CompareSelectedOptions,
} from '../write-back/compare/compare-selected.ts';
import { refuseClearNames } from '../tde/instance-tde.ts';
import type { MissingKeys } from '../write-back/key-difference.ts';
import { openThrottle } from '../write-back/throttle/open-throttle.ts';
import type { RateLimit } from '../write-back/throttle/rate-limit.ts';
import { sampleKey, type SampleKey } from './key-sample.ts';
import { openLive } from './live-server.ts';
import { OutcomeTally, type OutcomeCounts } from './outcome-tally.ts';

/** Keys of each outcome that are named. */
const SAMPLE_MAX = 20;
/** Of those, how many a warning names. */
const NAMED_MAX = 3;
/** A write reads each key again before it writes it, and keeps what it overwrites. */
const WRITE_PER_COMPARE = 3;
/** The clock of the original may be so much ahead of ours. */
const CLOCKS_APART_MS = 300_000;

/** How the original is spared while it is read. */
export interface SparedServer {
  readonly address: NodeAddress;
  /** Where the original is now: asked again once it was written to. Default: it stays at `address`. */
  readonly locate?: () => Promise<NodeAddress>;
  readonly latencyMaxMs: number;
  readonly rate: RateLimit | null;
}

/** What is asked: what a write of these keys into the original would do. */
export interface PreviewRequest {
  readonly instance: string;
  readonly point: WantedPoint;
  readonly ttl: TtlChoice;
  readonly selector: SelectorSpec;
  readonly skip?: SkipRange | null;
  /** Default: they are deleted. */
  readonly missingKeys?: MissingKeys;
  readonly live: SparedServer;
}

/** What a write of selected keys into the original would do. Nothing was written. */
export interface PreviewReport {
  readonly instance: string;
  readonly at: string | null;
  readonly cut: RestoreReport['cut'];
  readonly ttl: string;
  /** The selector in words. */
  readonly selected: string;
  readonly counts: OutcomeCounts;
  /** Changed keys of which the value is the same to the byte, and the expiry is not. */
  readonly expiryOnly: number;
  /** What a write would do: keys to put (changed or missing), keys to delete. */
  readonly write: {
    readonly put: number;
    readonly putBytes: number;
    readonly deleted: number;
    /** Keys that were not there then, and would be left all the same. */
    readonly kept: number;
    /** A guess from how fast the original answered; 0 when there is nothing to write. */
    readonly seconds: number;
  };
  readonly sample: readonly SampleKey[];
  /** What a restore of these keys reads: bytes fed, commands, bytes of the log of all it holds. */
  readonly read: {
    readonly bytes: number;
    readonly commands: number;
    readonly selection: RestoreReport['selection'];
  };
  readonly elapsedSeconds: number;
  readonly warnings: readonly string[];
}

/**
 * Tells what a write of selected keys into the running original would do: they are restored into a
 * scratch server and compared. Nothing is written but there.
 * @throws TidemarkError as `restore`; NodeError `TM_NODE_RIGHTS` with all commands that the user of
 *   the original lacks, before anything is restored; `TM_TDE_DENIED` for an instance with TDE over a
 *   network without TLS.
 */
export async function preview(
  request: PreviewRequest,
  environment: RestoreEnvironment,
): Promise<PreviewReport> {
  const { clock, signal } = environment;
  const fromMs = clock.monotonicMs();
  const selector = compileSelector(request.selector);
  const { latencyMaxMs, rate, address } = request.live;
  const { instance, point, ttl, skip = null } = request;
  await using live = await openLive(address, signal);
  await refuseClearNames(instance, live, environment);
  const wish = { instance, point, ttl, selector: request.selector, skip };
  await using scratch = await restoreIntoScratch(wish, environment);
  await using throttle = await openThrottle(address, { clock, latencyMaxMs, rate, signal });
  const tally = new OutcomeTally(SAMPLE_MAX, request.missingKeys);
  const comparedFromMs = clock.monotonicMs();
  const tell = (): void =>
    environment.onProgress({ phase: 'compare', bytes: tally.compared, bytesTotal: 0 });
  const found = compareSelected(
    { then: scratch.client, live },
    {
      ...{ selector, throttle, signal },
      nowMs: () => clock.nowMs(),
      onSame: (count) => {
        tally.addSame(count);
        tell();
      },
      ...hiddenKeys(scratch, ttl, () => clock.nowMs()),
    },
  );
  for await (const batch of found) {
    for (const difference of batch) tally.add(difference);
    tell();
  }
  const compareSeconds = (clock.monotonicMs() - comparedFromMs) / 1000;
  return {
    instance,
    ...placeOf(scratch.report),
    selected: selector.describe(),
    counts: tally.counts,
    expiryOnly: tally.expiryOnly,
    write: writeOf(tally, compareSeconds),
    sample: tally.sample.map((difference) => sampleKey(difference)),
    read: readOf(scratch.report),
    elapsedSeconds: (clock.monotonicMs() - fromMs) / 1000,
    warnings: [
      ...scratch.report.warnings,
      ...expiredWarnings(tally),
      ...(selector.literals === null ? unnamedWarnings(scratch, ttl, clock.nowMs()) : []),
    ],
  };
}

/** What is known of keys that a scratch server may hide. */
export function hiddenKeys(
  { dying }: ScratchServer,
  ttl: TtlChoice,
  nowMs: () => number,
): Pick<CompareSelectedOptions, 'expiring' | 'wasDead'> {
  if (hidesOnlyDead(ttl, nowMs())) return { wasDead: () => true };
  if (dying === null) return {};
  return { expiring: dying.candidates, wasDead: (db, key) => dying.wasDead(db, key, nowMs()) };
}

/** Where lives are taken up anew only what was dead at the point has an expiry in the past. */
function hidesOnlyDead(ttl: TtlChoice, nowMs: number): boolean {
  if (ttl.mode === 'remaining' || ttl.mode === 'persist') return true;
  return ttl.mode === 'rebase' && ttl.toMs >= nowMs;
}

function placeOf({ at, cut, ttl }: RestoreReport): Pick<PreviewReport, 'at' | 'cut' | 'ttl'> {
  return { at, cut, ttl };
}

function readOf({ bytes, commands, selection }: RestoreReport): PreviewReport['read'] {
  return { bytes, commands, selection };
}

function writeOf(tally: OutcomeTally, compareSeconds: number): PreviewReport['write'] {
  const { put, putBytes, deleted, kept, compared } = tally;
  const perKey = compared === 0 ? 0 : compareSeconds / compared;
  const seconds = (put + deleted) * perKey * WRITE_PER_COMPARE;
  return { put, putBytes, deleted, kept, seconds: Math.round(seconds * 10) / 10 };
}

function expiredWarnings({ counts, sample }: OutcomeTally): readonly string[] {
  if (counts.expired === 0) return [];
  const names = sample
    .filter(({ outcome }) => outcome === 'expired')
    .map((difference) => sampleKey(difference).key);
  const more = counts.expired > NAMED_MAX ? ', …' : '';
  const number = counts.expired === 1 ? '1 key has' : `${counts.expired.toString()} keys have`;
  return [
    `${number} an expiry that has passed and would not be put back ` +
      `(${names.slice(0, NAMED_MAX).join(', ')}${more}); keep such keys with --ttl remaining`,
  ];
}

/** Said when hidden keys are found by candidates, and those are not all. */
function unnamedWarnings(
  { dying }: ScratchServer,
  ttl: TtlChoice,
  nowMs: number,
): readonly string[] {
  if (hidesOnlyDead(ttl, nowMs)) return [];
  const all = dying?.all(nowMs + CLOCKS_APART_MS) ?? null;
  return all === null
    ? ['more keys may have an expiry that has passed: not all of them could be looked for']
    : [];
}
