import { keyNameHasher } from '@tidemark/crypto';
import {
  dryRun,
  preview,
  type PreviewReport,
  type RestoreReport,
  type WantedPoint,
} from '@tidemark/restorer';
import { originalAddress, readFrom, withLease } from '@tidemark/workspace';
import { maskedKeys } from '../../queries/masked.ts';
import { openTdeInstance } from '../../queries/open-tde.ts';
import type { Control } from '../../control.ts';
import { checkTarget } from '../../provision/allowed-targets.ts';
import { NO_NOTES, quietEnvironment } from './keys.ts';
import type { RestoreWish } from './restore-order.ts';

const LATENCY_MAX_MS = 5;

/** What a restore would do, as it is reported. */
export interface PlanReport {
  /** Null where no keys were compared. */
  readonly matchedKeys: PreviewReport['counts'] | null;
  readonly bytes: number;
  readonly warnings: readonly string[];
  readonly report: object;
}

/** For whom a plan is made. */
export interface PlanView {
  readonly control: Pick<Control, 'workspace' | 'tail'>;
  /** Whether the caller may read keys: else none is named, and nothing is told of any of them. */
  readonly seesKeys: boolean;
}

/**
 * Tells what a restore would do. Nothing is written: into the original the keys are restored into a
 * scratch server and compared; for other targets everything is read and verified, and the target
 * itself is looked at when the restore begins.
 * @throws As `preview`, `dryRun`, `checkTarget`.
 */
export async function planOf(
  instance: string,
  wish: RestoreWish,
  { control: { workspace, tail }, seesKeys }: PlanView,
  signal: AbortSignal,
): Promise<PlanReport> {
  await tail.act(instance, provenBy(wish.point), signal);
  const { tde } = await openTdeInstance(instance, workspace, signal);
  const isMasked = tde.state !== 'disabled';
  const hashOf = keyNameHasher(await workspace.keys.logKey(instance));
  const view = { hashOf: isMasked ? hashOf : null, seesKeys };
  const lease = {
    instance,
    fromSecond: readFrom(workspace.catalog, instance, wish.point),
    isLong: false,
  };
  const planned = await withLease(lease, workspace, NO_NOTES, async () =>
    wish.target.kind === 'original'
      ? ofOriginal(await compared(instance, wish, workspace, signal), view)
      : ofServer(await read(instance, wish, workspace, signal), isMasked || !seesKeys),
  );
  return { ...planned, warnings: [...wish.warnings, ...planned.warnings] };
}

/** The second that must be proven for a point; null: whatever there is by now. */
function provenBy(point: WantedPoint): number | null {
  return point.kind === 'second' && point.timeline == null ? point.second : null;
}

async function compared(
  instance: string,
  { point, ttl, selector, missingKeys }: RestoreWish,
  workspace: Control['workspace'],
  signal: AbortSignal,
): Promise<PreviewReport> {
  const address = await originalAddress(instance, workspace.config);
  const live = { address, latencyMaxMs: LATENCY_MAX_MS, rate: null };
  const all = {
    include: [],
    exclude: [],
    dbs: null,
    excludeDbs: [],
    types: null,
    excludeTypes: [],
  };
  const what = { instance, point, ttl, selector: selector ?? all, skip: null };
  const wish = { ...what, missingKeys, live };
  return preview(wish, quietEnvironment(workspace, signal));
}

async function read(
  instance: string,
  { point, ttl, selector, target, withFunctions, verify }: RestoreWish,
  workspace: Control['workspace'],
  signal: AbortSignal,
): Promise<RestoreReport> {
  if (target.kind === 'address') {
    await checkTarget(target.url, workspace.config.worker.allowTargets);
  }
  return dryRun(
    {
      ...{ instance, point, ttl, selector, withFunctions },
      target: { kind: 'new', port: 0, dir: null },
      promote: true,
      verify: verify ?? 'stream',
      allowFlush: false,
      feedListen: null,
      feedAdvertise: null,
      facts: null,
    },
    quietEnvironment(workspace, signal),
  );
}

interface KeysShown {
  /** What names are shown as; null: as they are. */
  readonly hashOf: ((name: Buffer) => string) | null;
  readonly seesKeys: boolean;
}

function ofOriginal(report: PreviewReport, { hashOf, seesKeys }: KeysShown): PlanReport {
  const { counts, read: reads, warnings, sample, selected, ...rest } = report;
  const isNamed = hashOf === null && seesKeys;
  // Its words are those of the selector.
  const { selection: _, ...amounts } = reads;
  const shown = hashOf === null ? sample : maskedKeys(sample, hashOf);
  return {
    matchedKeys: counts,
    bytes: reads.bytes,
    // They may name keys.
    warnings: isNamed ? warnings : [],
    report: {
      ...{ ...rest, counts, read: isNamed ? reads : amounts },
      ...(isNamed ? { selected } : {}),
      ...(seesKeys ? { sample: shown } : {}),
    },
  };
}

function ofServer(report: RestoreReport, isMasked: boolean): PlanReport {
  const { warnings, bytes, vanishingSample, selection, ...rest } = report;
  return {
    matchedKeys: null,
    bytes,
    warnings: isMasked ? [] : warnings,
    report: isMasked ? { ...rest, bytes } : { ...rest, bytes, vanishingSample, selection },
  };
}
