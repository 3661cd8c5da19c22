import { UsageError } from '@tidemark/core';
import {
  preview,
  restoreToOriginal,
  resumeWriteBack,
  type ConflictPolicy,
  type WantedPoint,
  type WriteBackOutcome,
  type WriteBackRequest,
} from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import {
  freshen,
  readFrom,
  type Reading,
  undoRetainMs,
  withLease,
  Workspace,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { comparisonProgress, missingOf, previewText } from './preview.ts';
import { restoreEnvironment } from './restore-environment.ts';
import { pointOf, type PointFlags } from './restore-point.ts';
import { selectorOf, type SelectorFlags } from './selector-flags.ts';
import type { SpareFlags } from './spare-flags.ts';
import { sparedOriginal } from './spared-original.ts';
import { ttlOf } from './ttl-flag.ts';
import { askConsent } from './write-consent.ts';
import { endWriting, writeBackText } from './write-text.ts';

/** Flags of `tidemark restore --to original` as commander gives them. */
export interface WriteBackFlags extends PointFlags, SelectorFlags, SpareFlags {
  readonly ttl?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly onConflict?: ConflictPolicy;
  readonly keepMissing?: boolean;
  readonly deleteMissing?: boolean;
}

/**
 * Puts selected keys back into the running original, or with `--dry-run` tells what that would do.
 * @param skip - Commands that are left out of the replay.
 */
export async function writeBackCommand(
  id: string,
  flags: WriteBackFlags,
  skip: WriteBackRequest['skip'],
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const selector = await selectorOf(flags, invocation);
  if (selector === null) {
    throw new UsageError('TM_SELECTOR_EMPTY', 'say which keys go into the original', {
      hint: "--key KEY, --regex 'cart:.*', --db N and their like; a whole instance goes into a new server: --to new",
    });
  }
  const nowMs = systemClock.nowMs();
  const point = pointOf(flags, nowMs);
  const ttl = ttlOf(flags.ttl, true, nowMs);
  using workspace = await Workspace.open(invocation);
  const live = await sparedOriginal(id, flags, workspace.config);
  const environment = restoreEnvironment(workspace, invocation, comparisonProgress);
  const missingKeys = missingOf(flags);
  const what = { instance: id, point, ttl, selector, skip: skip ?? null };
  const request = { ...what, missingKeys, live };
  if (flags.dryRun === true) {
    await freshen(workspace, id, signal);
    const lease = leaseOf(id, point, workspace, false);
    const report = await withLease(lease, workspace, invocation.printer, () =>
      preview(request, environment),
    );
    for (const warning of report.warnings) printer.warn(warning);
    printer.result(report, () => previewText(report, flags, invocation.configPath));
    return;
  }
  const yes = flags.yes === true;
  await askConsent(id, `keys of the running instance ${id} will be overwritten`, { yes, signal });
  await freshen(workspace, id, signal);
  const retainMs = undoRetainMs(id, workspace);
  const policy = flags.onConflict ?? 'skip';
  const lease = leaseOf(id, point, workspace, true);
  const outcome = await withLease(lease, workspace, invocation.printer, () =>
    restoreToOriginal({ ...request, policy, retainMs }, environment),
  );
  show(outcome, invocation);
}

function leaseOf(
  instance: string,
  point: WantedPoint,
  { catalog }: Workspace,
  isLong: boolean,
): Reading {
  return { instance, fromSecond: readFrom(catalog, instance, point), isLong };
}

/**
 * Goes on with a write into the original that was interrupted.
 * @returns False when `rid` is no such write: then nothing was done.
 */
export async function resumeWriteBackCommand(
  id: string,
  rid: string,
  context: {
    readonly flags: WriteBackFlags;
    readonly workspace: Workspace;
    readonly invocation: Invocation;
  },
): Promise<boolean> {
  const { flags, workspace, invocation } = context;
  const options = {
    live: await sparedOriginal(id, flags, workspace.config).catch((cause: unknown) => {
      // A restore into another server needs no node in the configuration.
      if (cause instanceof UsageError && cause.code === 'TM_NOT_FOUND') return null;
      throw cause;
    }),
    retainMs: undoRetainMs(id, workspace),
    ...(flags.onConflict === undefined ? {} : { policy: flags.onConflict }),
  };
  const { live } = options;
  if (live === null) return false;
  const environment = restoreEnvironment(workspace, invocation, comparisonProgress);
  const lease = { instance: id, fromSecond: null, isLong: true };
  const outcome = await withLease(lease, workspace, invocation.printer, () =>
    resumeWriteBack(id, rid, { ...options, live }, environment),
  );
  if (outcome === null) return false;
  show(outcome, invocation);
  return true;
}

function show({ report, failure }: WriteBackOutcome, invocation: Invocation): void {
  const { printer } = invocation;
  for (const warning of report.warnings) printer.warn(warning);
  printer.result(report, () => writeBackText(report, invocation));
  endWriting(report, failure);
}
