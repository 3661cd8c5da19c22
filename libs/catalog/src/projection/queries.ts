import type { ClockStep } from '@tidemark/archive';
import { OFFSET_MAX } from '../model/wire/shape.ts';
import type { WriterLogId } from '../log/entry-codec.ts';
import {
  objectOf,
  segmentOf,
  snapshotOf,
  stepOf,
  timelineOf,
  type CatalogFacts,
  type CatalogSegment,
  type CatalogSnapshot,
  type CatalogTimeline,
} from './rows.ts';
import type { Statements } from './statements.ts';

/**
 * Order of opening: that of the log within a writer, by time between writers. A clock that was set
 * back must not turn the timelines of one writer round.
 */
const OPENED = 'max(t.opened_ms) OVER (PARTITION BY t.writer_id ORDER BY t.id)';

/** A snapshot that retention has not marked: above the floor, and no backup that was let go of singly. */
export const SHOWN_SNAPSHOT = `p.stream_offset >= coalesce(h.below, 0)
  AND p.backup NOT IN (SELECT backup FROM dropped)`;

/** What retention has marked is not shown. */
const FROM_SEGMENTS = `
SELECT s.*, t.timeline, w.iid, w.shard, w.writer
FROM segments s
JOIN timelines t ON t.id = s.timeline_id
JOIN writers w ON w.id = t.writer_id
LEFT JOIN hidden h ON h.timeline_id = t.id`;

/** A page of snapshots by the time they were begun, newest first. Times in Unix milliseconds. */
export interface BackupPageQuestion {
  /** Ended at or after, and at or before; null = any. */
  readonly fromMs: number | null;
  readonly toMs: number | null;
  /** The last one of the page before. */
  readonly before: { readonly startedMs: number; readonly row: number } | null;
  readonly limit: number;
}

/** A snapshot and its place in the order of pages. */
export interface PagedSnapshot {
  readonly snapshot: CatalogSnapshot;
  readonly row: number;
}

const FROM_SNAPSHOTS = `
FROM snapshots p
JOIN timelines t ON t.id = p.timeline_id
JOIN writers w ON w.id = t.writer_id
LEFT JOIN hidden h ON h.timeline_id = t.id`;

/** Questions to the projection. */
export class Queries {
  readonly #db: Statements;

  constructor(db: Statements) {
    this.#db = db;
  }

  /**
   * Timelines of an instance in the order of their opening.
   * @param marked - Also what retention has marked.
   */
  timelines(iid: string, marked = false): readonly CatalogTimeline[] {
    const steps = this.#steps(iid);
    return this.#db
      .rows(
        `SELECT t.*, w.iid, w.shard, w.writer, ${OPENED} AS opened,
           f.from_second, f.stream_offset AS from_offset
         FROM timelines t JOIN writers w ON w.id = t.writer_id
         LEFT JOIN hidden h ON h.timeline_id = t.id AND ? = 0
         LEFT JOIN snapshots f ON f.id = (
           SELECT id FROM snapshots WHERE timeline_id = t.id
             AND stream_offset >= coalesce(h.below, 0)
             AND backup NOT IN (SELECT backup FROM dropped WHERE ? = 0 OR pending = 0)
           ORDER BY stream_offset, from_second LIMIT 1)
         WHERE w.iid = ? AND coalesce(h.below, 0) < ? ORDER BY opened, w.shard, w.writer, t.id`,
      )
      .all(marked ? 1 : 0, marked ? 1 : 0, iid, OFFSET_MAX)
      .map((row) => timelineOf(row, steps.get(row['id'] as bigint) ?? []));
  }

  /**
   * Snapshots of an instance, by timeline and offset.
   * @param marked - Also what retention has marked.
   */
  snapshots(iid: string, marked = false): readonly CatalogSnapshot[] {
    return this.#db
      .rows(
        `SELECT p.*, t.timeline, w.iid, w.shard, w.writer
         FROM snapshots p
         JOIN timelines t ON t.id = p.timeline_id
         JOIN writers w ON w.id = t.writer_id
         LEFT JOIN hidden h ON h.timeline_id = t.id AND ? = 0
         WHERE w.iid = ? AND p.stream_offset >= coalesce(h.below, 0)
           AND p.backup NOT IN (SELECT backup FROM dropped WHERE ? = 0 OR pending = 0)
         ORDER BY w.shard, w.writer, t.id, p.stream_offset, p.seq`,
      )
      .all(marked ? 1 : 0, iid, marked ? 1 : 0)
      .map(snapshotOf);
  }

  /** Snapshots of an instance, newest first, a page at a time. */
  backupPage(iid: string, question: BackupPageQuestion): readonly PagedSnapshot[] {
    const { fromMs, toMs, before, limit } = question;
    const from = fromMs ?? Number.MIN_SAFE_INTEGER;
    const to = toMs ?? Number.MAX_SAFE_INTEGER;
    const startedMs = before?.startedMs ?? Number.MAX_SAFE_INTEGER;
    // Sorted by their ids alone: whole rows are read only of the page.
    return this.#db
      .rows(
        `SELECT p.*, t.timeline, w.iid, w.shard, w.writer
         FROM (
           SELECT p.id AS page_id ${FROM_SNAPSHOTS}
           WHERE w.iid = ? AND ${SHOWN_SNAPSHOT}
             AND p.ended_ms >= ? AND p.ended_ms <= ?
             AND (p.started_ms < ? OR (p.started_ms = ? AND p.id < ?))
           ORDER BY p.started_ms DESC, p.id DESC LIMIT ?) page
         JOIN snapshots p ON p.id = page.page_id
         JOIN timelines t ON t.id = p.timeline_id
         JOIN writers w ON w.id = t.writer_id
         ORDER BY p.started_ms DESC, p.id DESC`,
      )
      .all(iid, from, to, startedMs, startedMs, before?.row ?? Number.MAX_SAFE_INTEGER, limit)
      .map((row) => ({ snapshot: snapshotOf(row), row: Number(row['id']) }));
  }

  /** The snapshots of one backup, one for each shard. */
  backupNamed(backup: string): readonly CatalogSnapshot[] {
    return this.#db
      .rows(
        `SELECT p.*, t.timeline, w.iid, w.shard, w.writer ${FROM_SNAPSHOTS}
         WHERE p.backup = ? AND ${SHOWN_SNAPSHOT}
         ORDER BY w.iid, w.shard, p.id`,
      )
      .all(backup)
      .map(snapshotOf);
  }

  /** Segments of a timeline that hold bytes of the range, in offset order. */
  segments(
    timeline: string,
    range: { readonly fromOffset?: bigint; readonly toOffset?: bigint },
  ): readonly CatalogSegment[] {
    const { fromOffset = 0n, toOffset = OFFSET_MAX } = range;
    return this.#db
      .rows(
        `${FROM_SEGMENTS}
         WHERE t.timeline = ? AND s.end_offset > ? AND s.start_offset < ?
           AND s.end_offset > coalesce(h.below, 0)
           AND s.start_offset >= coalesce((
             SELECT max(f.start_offset) FROM segments f
             WHERE f.timeline_id = t.id AND f.start_offset <= ?), 0)
         ORDER BY s.start_offset`,
      )
      .all(timeline, fromOffset, toOffset, fromOffset)
      .map(segmentOf);
  }

  /** The first segment of a stretch of a timeline whose last mark is after `second`. */
  segmentForCut(timeline: string, second: number, stretch: number): CatalogSegment | null {
    const row = this.#db
      .rows(
        `${FROM_SEGMENTS}
         WHERE t.timeline = ? AND s.stretch = ? AND s.max_second > ?
           AND s.end_offset > coalesce(h.below, 0)
         ORDER BY s.max_second, s.start_offset LIMIT 1`,
      )
      .get(timeline, stretch, second);
    return row === undefined ? null : segmentOf(row);
  }

  /** Steps of the clock, by row of their timeline, in their order. */
  #steps(iid: string): ReadonlyMap<bigint, readonly ClockStep[]> {
    const byTimeline = new Map<bigint, ClockStep[]>();
    const rows = this.#db
      .rows(
        `SELECT c.* FROM clock_steps c
         JOIN timelines t ON t.id = c.timeline_id
         JOIN writers w ON w.id = t.writer_id
         WHERE w.iid = ? ORDER BY c.timeline_id, c.number`,
      )
      .all(iid);
    for (const row of rows) {
      const id = row['timeline_id'] as bigint;
      const known = byTimeline.get(id) ?? [];
      if (known.length === 0) byTimeline.set(id, known);
      known.push(stepOf(row));
    }
    return byTimeline;
  }

  /** The newest node facts of a writer taken by an instant, else the first ones. */
  nodeFacts(log: WriterLogId, atMs: number | null): CatalogFacts | null {
    const row = this.#db
      .rows(
        `SELECT f.*, w.iid, w.shard, w.writer
         FROM node_facts f JOIN writers w ON w.id = f.writer_id
         WHERE w.iid = ? AND w.shard = ? AND w.writer = ?
         ORDER BY f.at_ms <= coalesce(?, f.at_ms) DESC,
           iif(f.at_ms <= coalesce(?, f.at_ms), -f.seq, f.seq) LIMIT 1`,
      )
      .get(log.iid, log.shard, log.writer, atMs, atMs);
    return row === undefined ? null : { object: objectOf(row), takenMs: Number(row['at_ms']) };
  }
}
