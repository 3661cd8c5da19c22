import type { CaptureStatus } from '@tidemark/archiver';
import { askStatus, statusDocument, type StatusDocument } from '@tidemark/control';
import { StoreError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';
import {
  costLine,
  costOf,
  pricesOf,
  requestLine,
  statesPrice,
  type PriceFlags,
} from './store-cost.ts';

/** A backlog that is younger is on its way. */
const BACKLOG_SECONDS_SHOWN = 10;

/** Says what is captured, how far behind it is, and what can be restored. */
export async function showStatus(flags: PriceFlags, invocation: Invocation): Promise<void> {
  const prices = pricesOf(flags);
  using workspace = await Workspace.open(invocation);
  const answer = await askStatus(workspace, invocation.signal);
  await syncOrWarn(workspace, invocation);
  const status = statusDocument(workspace, answer, systemClock.nowMs());
  const { archiver, fleet, store, instances: known } = status;
  const instances = known.map((status) => ({
    ...status,
    cost: costOf(status.capture?.requests ?? null, storedBytes(workspace, status.instance), prices),
  }));
  const document = { archiver, fleet, store, prices, instances };
  const isCharged = workspace.config.store.kind === 's3' || statesPrice(flags);
  invocation.printer.result(document, () => [
    answer === null ? 'archiver: not running' : `archiver: running (pid ${answer.pid.toString()})`,
    ...fleetLines(fleet),
    ...(instances.length === 0
      ? ['no instances']
      : table(
          [
            'INSTANCE',
            'STATE',
            'FROM (UTC)',
            'TO (UTC)',
            'HOLES',
            'BACKUPS',
            'LAG',
            'PINS',
            'NOTE',
          ],
          instances.map(({ instance, earliest, latest, holes, backups, capture }) => [
            instance,
            capture?.state ?? 'not captured',
            earliest ?? '-',
            latest ?? '-',
            holes.toString(),
            backups.toString(),
            capture?.lagBytes == null
              ? '-'
              : `${formatBytes(capture.lagBytes)} / ${(capture.lagSeconds ?? 0).toString()} s`,
            capture?.pinClass ?? '-',
            noteOf(capture),
          ]),
        )),
    ...instances.flatMap(({ instance, capture, owner, cost }) => [
      ...ownerLines(instance, owner, fleet),
      ...(capture?.link == null ? [] : [linkLine(instance, capture.link)]),
      ...(capture === null ? [] : [requestLine(instance, cost.requests)]),
      ...(isCharged ? [costLine(instance, cost, prices)] : []),
    ]),
  ]);
}

/** With a store that is away it is still told what captures and what waits: then the exit code says so. */
async function syncOrWarn(workspace: Workspace, { printer, signal }: Invocation): Promise<void> {
  try {
    await workspace.sync(signal);
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'TM_STORE_IO') throw cause;
    const hint = cause.hint === undefined ? '' : ` (${cause.hint})`;
    printer.warn(`${cause.message}${hint}: what it holds is told as it was last seen`);
    process.exitCode = cause.exitCode;
  }
}

/** What the archiver of this host has to do with those of others. */
function fleetLines(fleet: StatusDocument['fleet']): readonly string[] {
  if (fleet === null) return [];
  const { state, assigned, ownerId, gone } = fleet;
  const work = assigned.length === 0 ? 'nothing' : assigned.join(', ');
  const place = state === 'member' ? 'member of the fleet' : 'the group cannot be reached';
  return [
    `fleet: ${place}, ${ownerId}, is to capture ${work}`,
    ...gone.map((instance) => `ALARM ${instance}: its host shows no life, and no other goes on`),
  ];
}

/** Who captures an instance, where that is not plain. */
function ownerLines(
  instance: string,
  owner: StatusDocument['instances'][number]['owner'],
  fleet: StatusDocument['fleet'],
): readonly string[] {
  if (owner === null || (fleet === null && owner.state !== 'gone')) return [];
  const whose = fleet?.ownerId === owner.id ? 'this host' : owner.id;
  const how = { alive: '', released: ', released', gone: ', shows no life' }[owner.state];
  const claim = `claim ${owner.generation.toString()}, last sign of life ${owner.lastSeen}`;
  return [`${instance}: captured by ${whose}${how}, ${claim}`];
}

/** The replication link of a capture that has one. */
function linkLine(instance: string, link: NonNullable<CaptureStatus['link']>): string {
  const { state, node, offset, fullResyncs, partialResyncs, spoolBytes } = link;
  const at = offset === null ? '' : `, offset ${offset}`;
  return (
    `${instance}: replication link ${state}, ${node}${at}; since the start of the archiver ` +
    `${fullResyncs.toString()} full and ${partialResyncs.toString()} partial resyncs; ` +
    `${formatBytes(spoolBytes)} in the wire spool`
  );
}

/** Sealed bytes of what a restore can use; entries and what merged segments replaced come on top. */
function storedBytes({ catalog }: Workspace, iid: string): number {
  return catalog.retention((queries) => queries.total(iid)).bytes;
}

/** What ails a capture: why there is none, else what it waits for. */
function noteOf(
  capture: Pick<
    CaptureStatus,
    'failure' | 'linkError' | 'storeError' | 'backlogBytes' | 'backlogSeconds'
  > | null,
): string {
  if (capture === null) return '';
  const { failure, linkError, storeError, backlogBytes, backlogSeconds } = capture;
  if (failure !== null) {
    const { code, message, hint } = failure;
    return `${code}: ${message}${hint === null ? '' : `; ${hint}`}`;
  }
  const waits =
    backlogSeconds === null || (storeError === null && backlogSeconds < BACKLOG_SECONDS_SHOWN)
      ? []
      : [`${formatBytes(backlogBytes)} wait in the spool, the oldest for ${backlogSeconds} s`];
  const ails = linkError ?? storeError;
  return [...(ails === null ? [] : [ails]), ...waits].join('; ');
}
