import { makeId, PlanError, UsageError } from '@tidemark/core';
import { parseObjectKey } from '@tidemark/archive';
import { adaptPayloadFor } from '../../feed/adapt-payload.ts';
import type { SparedServer } from '../../preview/preview.ts';
import type { RestoreEnvironment } from '../../run/environment.ts';
import { PhaseTimer } from '../../run/phase-timer.ts';
import { lostOriginal } from '../same-original.ts';
import { stateOf, type WriteState } from '../write-back-report.ts';
import { workThenSettle } from '../work-then-settle.ts';
import { openWriteSession, type WriteSession } from '../write-session.ts';
import { serverTimeMs } from '../write/read-present.ts';
import { writeAll } from '../write/write-all.ts';
import type { ConflictPolicy } from '../write/write-task.ts';
import type { WriteCounts } from '../write/write-tally.ts';
import {
  listUndoParts,
  readUndoHead,
  type ListedUndoPart,
  type UndoSource,
} from './undo-objects.ts';
import { tasksOfPart, VoidKeys } from './undo-tasks.ts';
import { verifyUndoPack } from './verify-undo-pack.ts';

/** What is asked: the keys that a restore has written as they were before. */
export interface UndoRequest {
  readonly instance: string;
  /** Id of the restore, or of an undo. */
  readonly restore: string;
  readonly live: SparedServer;
  readonly policy: ConflictPolicy;
  /** How long the undo pack of this undo is good for, in milliseconds. */
  readonly retainMs: number;
  /** Only tell what would be done. */
  readonly dryRun: boolean;
}

/** What an undo ends with; of a dry run: what it would end with. */
export interface UndoReport extends WriteCounts {
  readonly id: string;
  readonly state: WriteState | 'planned';
  readonly instance: string;
  /** The restore that was undone. */
  readonly restore: string;
  readonly undo: { readonly id: string; readonly expiresMs: number } | null;
  readonly elapsedSeconds: number;
}

/** A report, and the error that ended the work before its end. */
export interface UndoOutcome {
  readonly report: UndoReport;
  readonly failure: Error | null;
}

/**
 * Puts back what keys held before a restore wrote them: value, expiry, or that they were not there.
 *
 * A key that somebody has changed since is in conflict. What is overwritten goes into an undo pack of
 * its own, so that an undo can be undone. An undo that was interrupted is simply started again: keys
 * that are as they were are left.
 * @throws UsageError `TM_NOT_FOUND` when there is no such pack; PlanError `TM_UNDO_EXPIRED` when it is
 *   over its time: it is removed a day later; IntegrityError, FormatError, StoreError for one that is damaged;
 *   as `openOriginal`.
 */
export async function undoRestore(
  request: UndoRequest,
  environment: RestoreEnvironment,
): Promise<UndoOutcome> {
  const { clock, random, store, keys, signal } = environment;
  const { instance, restore, live, policy, retainMs, dryRun } = request;
  const source = { store, keys, signal };
  const timer = new PhaseTimer(clock);
  const parts = await usableParts(instance, restore, clock.nowMs(), source);
  // All of it, before anything is put back: a pack that is damaged is not used in part.
  await verifyUndoPack(instance, restore, source, () => undefined);
  const id = `un-${makeId(clock.nowMs(), random)}`;
  await using session = await openWriteSession(
    { instance, id, undoes: restore, live, policy, retainMs },
    environment,
  );
  const { facts } = session;
  const failure =
    (await putBack(parts, session, { source, dryRun, environment })) ??
    (dryRun ? null : await lostOriginal({ live, facts, signal }));
  const counts = session.tally.counts();
  const { undo } = session;
  return {
    failure,
    report: {
      ...{ id, instance, restore },
      state: dryRun && failure === null ? 'planned' : stateOf(counts, failure),
      ...counts,
      undo: undo.keys > 0 ? { id, expiresMs: undo.expiresMs } : null,
      elapsedSeconds: timer.elapsedSeconds,
    },
  };
}

/** The instance whose undo pack it is; null when there is none. */
export async function findUndoPack(
  restore: string,
  { store, signal }: Pick<UndoSource, 'store' | 'signal'>,
): Promise<string | null> {
  for await (const batch of store.list('v1/undo/', { signal })) {
    for (const { key } of batch) {
      const place = parseObjectKey(key);
      if (place?.kind === 'undo' && place.restore === restore) return place.iid;
    }
  }
  return null;
}

async function usableParts(
  instance: string,
  restore: string,
  nowMs: number,
  source: UndoSource,
): Promise<readonly ListedUndoPart[]> {
  const parts = await listUndoParts(instance, restore, source);
  const last = parts.at(-1);
  if (last === undefined) {
    throw new UsageError('TM_NOT_FOUND', `there is no undo pack of ${restore}`, {
      hint: 'see which there are: tidemark undo --list',
    });
  }
  const { expiresMs } = await readUndoHead(last, source);
  if (expiresMs > nowMs) return parts;
  // It goes with a write or expiry a day later, when others say that its time is over too.
  const when = new Date(expiresMs).toISOString();
  throw new PlanError('TM_UNDO_EXPIRED', `the undo pack of ${restore} was good until ${when}`, {
    context: { restore, expiresMs },
    hint: 'restore the keys to a second before that restore',
  });
}

/** The newest part first: what it says of a key counts. @returns The error that ended the work. */
async function putBack(
  parts: readonly ListedUndoPart[],
  session: WriteSession,
  options: {
    readonly source: UndoSource;
    readonly dryRun: boolean;
    readonly environment: RestoreEnvironment;
  },
): Promise<Error | null> {
  const { writer, side, tally, facts, throttle } = session;
  const { source, dryRun, environment } = options;
  const unchanged = { mode: 'absolute', atMs: 0, nowMs: 0 } as const;
  const adapt = adaptPayloadFor({ ...facts, commands: null }, unchanged);
  const voidKeys = new VoidKeys();
  let written = 0;
  const onWritten = (keys: number): void => {
    written += keys;
    environment.onProgress({ phase: 'undo', bytes: written, bytesTotal: 0 });
  };
  return workThenSettle(writer, async () => {
    for (const place of [...parts].reverse()) {
      const nowMs = await serverTimeMs(side);
      const tasks = await tasksOfPart(place, voidKeys, { side, adapt, tally, source, nowMs });
      await writeAll(tasks, writer, {
        ...{ throttle, dryRun, cluster: facts.cluster, onWritten },
      });
    }
  });
}
