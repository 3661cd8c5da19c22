import { planReads } from '@tidemark/archive';
import {
  withoutShredded,
  type Catalog,
  type CatalogSegment,
  type CatalogSnapshot,
} from '@tidemark/catalog';
import { PlanError, UsageError, type Clock } from '@tidemark/core';
import { durableEnd } from './cut-within.ts';
import { refuseDeleted } from './deleted.ts';
import type { LookInside } from './look-inside.ts';
import { objectOfSegment, readMarks, type FooterReaderOptions } from './read-marks.ts';
import { nothingRestorable, noTimeline } from './refuse-second.ts';
import { resolveCut, resolveLatest } from './resolve-cut.ts';
import { refuseShredded } from './shredded.ts';
import type { PlannedCut, RestorePlan } from './restore-plan.ts';
import { checkTtlChoice, type TtlChoice } from './ttl-rule.ts';

/** How far the command after an offset is looked for. */
const LOOK_AHEAD_BYTES = 64n * 1024n * 1024n;

const NO_SECOND = { at: null, notBeforeMs: null, notAfterMs: null };

/** What the user asked for: exactly one point. */
export type WantedPoint =
  /** The end of a second, on a timeline if one is named, else on the one current then. */
  | { readonly kind: 'second'; readonly second: number; readonly timeline?: string | null }
  | { readonly kind: 'latest' }
  | {
      readonly kind: 'offset';
      readonly offset: bigint;
      readonly timeline: string | null;
      /** The second whose cut an earlier plan found there; lives are counted from its end again. */
      readonly cutOf?: SecondCut | null;
    }
  /** Right before the command or transaction that starts at the offset. */
  | { readonly kind: 'before'; readonly offset: bigint; readonly timeline: string | null }
  | { readonly kind: 'backup'; readonly backup: string };

/** The second of a cut, and what is known of when it was. */
export type SecondCut = { readonly at: number } & Pick<PlannedCut, 'notBeforeMs' | 'notAfterMs'>;

/** A request for a plan. */
export interface PlanRequest {
  readonly instance: string;
  readonly point: WantedPoint;
  readonly ttl: TtlChoice;
  /** Begin with this backup, as an earlier plan did; default: the newest at or before the cut. */
  readonly snapshot?: string;
}

/**
 * Makes the plan of a restore from the catalog. Reads at most one segment footer.
 * @throws PlanError `TM_TIME_NOT_RESTORABLE`, `TM_OFFSET_NOT_RESTORABLE`; UsageError `TM_NOT_FOUND`,
 *   `TM_BACKUP_DELETED`, `TM_USAGE` for a TTL choice out of range.
 */
export async function makePlan(
  request: PlanRequest,
  catalog: Catalog,
  footers: FooterReaderOptions,
  look: LookInside,
  clock: Clock,
): Promise<RestorePlan> {
  const { instance } = request;
  checkTtlChoice(request.ttl);
  const stored = catalog.snapshots(instance);
  const known = withoutShredded(stored, catalog.instance(instance));
  refuseShredded(request, { stored, known });
  const wanted = await resolvePoint(request, known, catalog, footers);
  const { at } = wanted;
  const { timeline } = wanted.cut;
  refuseShredded(request, { stored, known }, wanted.cut);
  const snapshots = known.filter(
    ({ backup }) => request.snapshot === undefined || backup === request.snapshot,
  );
  // Only what lies after the snapshot: a timeline may have hundreds of thousands of segments.
  const fromOffset = newestOffset(snapshots, timeline, wanted.cut.offset);
  const segments = catalog.segments(timeline, { fromOffset, toOffset: wanted.cut.offset });
  const first = planReads({ snapshots, segments, timeline, cutOffset: wanted.cut.offset });
  if (request.point.kind === 'before') {
    const end = durableEnd(catalog, instance, timeline);
    const toOffset = wanted.cut.offset + LOOK_AHEAD_BYTES;
    const onwards = catalog.segments(timeline, { fromOffset, toOffset });
    await look.commandStart(wanted.cut.offset, onwards, { floor: fromOffset, end });
  }
  const cut = await onBoundary(wanted.cut, first, look);
  const { snapshot, reads } = planReads({ snapshots, segments, timeline, cutOffset: cut.offset });
  const atMs = at === null ? await lastKnownMs(snapshot, reads, footers) : at * 1000 + 999;
  const plannedReads = reads.map(({ segment, from, to }) => ({
    object: objectOfSegment(segment),
    header: from === snapshot.offset ? headerAt(snapshot, segment) : segment.header,
    from,
    to,
  }));
  const { shard, writer } = snapshot.object;
  const mostDb = reads.reduce(
    (most, { segment }) => Math.max(most, segment.header.maxDb),
    snapshot.summary.maxDb,
  );
  return {
    instance,
    shard,
    writer,
    source: sourceOf(catalog, instance, snapshot),
    at,
    cut,
    ttl: { ...request.ttl, atMs, nowMs: clock.nowMs() },
    snapshot,
    snapshotObject: { ref: snapshot.object, timeline, start: snapshot.offset },
    reads: plannedReads,
    closure: null,
    databases: mostDb + 1,
    sealedBytes: sum([snapshot.object.size, ...plannedReads.map(({ object }) => object.ref.size)]),
    feedBytes: sum([snapshot.rdbBytes, ...plannedReads.map(({ from, to }) => Number(to - from))]),
  };
}

/**
 * The header of the segment that a snapshot lies in, as it is there: the snapshot of a replica that
 * passes the stream of its primary on may stand where no database is selected anew.
 */
function headerAt(
  { summary, offset }: CatalogSnapshot,
  segment: CatalogSegment,
): CatalogSegment['header'] {
  const db = Number(summary.aux['repl-stream-db'] ?? NaN);
  if (offset === segment.start || !Number.isSafeInteger(db) || db < 0) return segment.header;
  return { ...segment.header, db };
}

/** Who wrote a timeline. A snapshot knows its own product best. */
function sourceOf(
  catalog: Catalog,
  instance: string,
  { timeline, summary }: CatalogSnapshot,
): RestorePlan['source'] {
  const known = catalog.timelines(instance).find((one) => one.timeline === timeline);
  const product = known?.node.product === 'valkey' ? 'valkey' : summary.product;
  return { product, version: known?.node.version ?? '' };
}

/** Where the newest snapshot at or before an offset stands; 0 when there is none. */
function newestOffset(
  snapshots: readonly CatalogSnapshot[],
  timeline: string,
  upTo: bigint,
): bigint {
  return snapshots.reduce(
    (newest, one) =>
      one.timeline === timeline && one.offset <= upTo && one.offset > newest ? one.offset : newest,
    0n,
  );
}

/** A cut that no mark gives may lie anywhere: it goes back to a boundary outside transactions. */
async function onBoundary(
  cut: PlannedCut,
  plan: { readonly snapshot: CatalogSnapshot; readonly segments: readonly CatalogSegment[] },
  look: LookInside,
): Promise<PlannedCut> {
  if (cut.notBeforeMs !== null || cut.offset === plan.snapshot.offset) return cut;
  const { segments, snapshot } = plan;
  const offset = await look.boundary(cut.offset, snapshot.offset, segments);
  return { ...cut, offset };
}

async function resolvePoint(
  request: PlanRequest,
  snapshots: readonly CatalogSnapshot[],
  catalog: Catalog,
  footers: FooterReaderOptions,
): Promise<{ readonly at: number | null; readonly cut: PlannedCut }> {
  const { instance, point } = request;
  switch (point.kind) {
    case 'second':
      return {
        at: point.second,
        cut: await resolveCut(
          catalog,
          instance,
          { second: point.second, timeline: point.timeline ?? null },
          footers,
        ),
      };
    case 'latest':
      return resolveLatest(catalog, instance, footers);
    case 'before':
    case 'offset': {
      const timelines = catalog.timelines(instance);
      const timeline = point.timeline ?? timelines.at(-1)?.timeline ?? null;
      if (point.timeline !== null && !timelines.some((one) => one.timeline === point.timeline)) {
        throw noTimeline(instance, point.timeline);
      }
      if (timeline === null) throw nothingRestorable(instance);
      const end = durableEnd(catalog, instance, timeline);
      if (point.offset < 0n || point.offset > end) {
        throw new PlanError(
          'TM_OFFSET_NOT_RESTORABLE',
          `offset ${point.offset.toString()} is not restorable`,
          {
            context: { offset: point.offset, end },
            hint: `timeline ${timeline} reaches from 0 to ${end.toString()}`,
          },
        );
      }
      const { at, ...bounds } = (point.kind === 'offset' ? point.cutOf : null) ?? NO_SECOND;
      return { at, cut: { timeline, offset: point.offset, ...bounds } };
    }
    case 'backup': {
      refuseDeleted(catalog, instance, point.backup);
      const found = snapshots.find(({ backup }) => backup === point.backup);
      if (found === undefined) {
        throw new UsageError('TM_NOT_FOUND', `there is no backup ${point.backup}`, {
          hint: `tidemark backup list ${instance}`,
        });
      }
      const { timeline, offset } = found;
      return { at: null, cut: { timeline, offset, notBeforeMs: null, notAfterMs: null } };
    }
  }
}

/**
 * The latest time that is known to be at or before the cut of an offset or a backup, Unix
 * milliseconds: there TTL rules count from it. (Of a second they count from its end, for all that ran
 * in it is in.) The marks of a segment that is read in part may lie beyond the cut: of the last one,
 * which may hold an hour, they are looked at.
 */
async function lastKnownMs(
  snapshot: CatalogSnapshot,
  reads: readonly { readonly segment: CatalogSegment; readonly to: bigint }[],
  footers: FooterReaderOptions,
): Promise<number> {
  let latest = snapshot.from;
  let stretch = reads[0]?.segment.stretch;
  for (const { segment, to } of reads) {
    const last =
      to === segment.end ? segment.header.lastSecond : await secondBefore(segment, to, footers);
    if (last === null) continue;
    // After a step back of the clock an earlier second is the later one.
    latest = segment.stretch === stretch ? Math.max(latest, last) : last;
    stretch = segment.stretch;
  }
  return latest * 1000;
}

/**
 * The latest second that marks of a merged segment name up to an offset. An annotation right at it
 * stands in front of what comes after.
 */
async function secondBefore(
  segment: CatalogSegment,
  offset: bigint,
  footers: FooterReaderOptions,
): Promise<number | null> {
  if ((segment.level ?? 0) === 0) return null;
  let latest: number | null = null;
  for (const mark of await readMarks(segment, footers)) {
    if (mark.offset > offset) break;
    if (mark.offset === offset && mark.source === 'annotation') continue;
    const second = Math.floor(mark.notBeforeMs / 1000);
    latest = Math.max(latest ?? second, second);
  }
  return latest;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
