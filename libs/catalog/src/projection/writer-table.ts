import { writerLogKey, type ClockStep } from '@tidemark/archive';
import { CatalogError, IntegrityError } from '@tidemark/core';
import type { LogEntry, WriterLogId } from '../log/entry-codec.ts';
import { evolveEntry } from '../log/writer-log.ts';
import type { HoleProven } from '../model/events.ts';
import {
  keepRows,
  NO_ROWS,
  type KeptFacts,
  type KeptRows,
  type KeptSegment,
  type KeptSnapshot,
} from '../model/kept-rows.ts';
import { canonicalJson } from '../model/wire/canonical-json.ts';
import { writerStateShape } from '../model/wire/state-shape.ts';
import { EMPTY_WRITER_STATE, type TimelineState, type WriterState } from '../model/writer-state.ts';
import { readFold } from './database.ts';
import type { Statements } from './statements.ts';

/** A writer's row with its fold. */
export interface WriterRow {
  readonly id: number;
  readonly state: WriterState;
}

interface RawWriter {
  readonly id: number;
  readonly state: string;
}

/** Writes the entries of writer logs into the tables. Every call runs within a transaction. */
export class WriterTable {
  readonly #db: Statements;

  constructor(db: Statements) {
    this.#db = db;
  }

  /** The row of a writer; `null` when nothing of it was read yet. */
  find(log: WriterLogId): WriterRow | null {
    const row = this.#db
      .prepare<RawWriter>(
        'SELECT id, state FROM writers WHERE iid = ? AND shard = ? AND writer = ?',
      )
      .get(log.iid, log.shard, log.writer);
    return row === undefined ? null : { id: row.id, state: readFold(row.state, writerStateShape) };
  }

  /** The fold of a writer's log as far as it was read; the empty one when it was not. */
  stateOf(log: WriterLogId): WriterState {
    return this.find(log)?.state ?? EMPTY_WRITER_STATE;
  }

  /** Forgets every writer of an instance. */
  forget(iid: string): void {
    this.#db.prepare('DELETE FROM writers WHERE iid = ?').run(iid);
  }

  /**
   * Makes a writer's row anew from a fold; whatever was known of the writer goes.
   * @param rows - What checkpoints keep of the log besides the fold, oldest first.
   */
  restart(log: WriterLogId, state: WriterState, rows: readonly KeptRows[] = []): void {
    const old = this.find(log);
    if (old !== null) this.#db.prepare('DELETE FROM writers WHERE id = ?').run(old.id);
    const { lastInsertRowid } = this.#db
      .prepare(
        'INSERT INTO writers (iid, shard, writer, seq, digest, state) VALUES (?, ?, ?, ?, ?, ?)',
      )
      .run(log.iid, log.shard, log.writer, state.seq, state.digest, encodeState(state));
    const id = Number(lastInsertRowid);
    const newest = state.timeline === null ? [] : [state.timeline];
    for (const timeline of [...rows.flatMap(({ timelines }) => timelines), ...newest]) {
      this.#openTimeline(id, timeline, null);
      this.#updateTimeline(id, timeline);
      for (const step of timeline.steps) this.#addStep(id, timeline.timeline, step);
    }
    for (const each of rows) this.#addRows(id, each);
  }

  /**
   * Applies entries that follow each other. Entries that another process has applied meanwhile are
   * passed over.
   *
   * @returns How many were applied; `null` when the row is behind the first of them: read again.
   * @throws IntegrityError `TM_LOG_CHAIN` when the row knows another entry in the same place.
   */
  apply(log: WriterLogId, entries: readonly LogEntry[]): number | null {
    const row = this.find(log);
    const [first] = entries;
    if (row === null || first === undefined || first.seq > row.state.seq + 1) return null;
    const same = entries.find((entry) => entry.seq === row.state.seq);
    if (same !== undefined && same.digest !== row.state.digest) {
      throw replacedWriter(log, row.state, same.digest);
    }
    const fresh = entries.filter((entry) => entry.seq > row.state.seq);
    let { state } = row;
    for (const entry of fresh) {
      if (entry.predecessor !== state.digest) throw replacedWriter(log, state, entry.predecessor);
      state = evolveEntry(state, entry);
      this.#applyEvent(row.id, entry, state);
    }
    if (fresh.length > 0) {
      this.#db
        .prepare('UPDATE writers SET seq = ?, digest = ?, state = ? WHERE id = ?')
        .run(state.seq, state.digest, encodeState(state), row.id);
    }
    return fresh.length;
  }

  #applyEvent(writerId: number, entry: LogEntry, state: WriterState): void {
    const { event } = entry;
    const { timeline } = state;
    switch (event.type) {
      case 'OwnerClaimed':
      case 'Released':
        return;
      case 'TimelineOpened':
        if (timeline !== null) this.#openTimeline(writerId, timeline, entry.seq);
        return;
      case 'NodeFactsStored':
      case 'HoleProven':
      case 'SegmentStored':
      case 'SegmentsMerged':
      case 'SnapshotStored':
        // As a checkpoint has it: both ways give the same tables.
        this.#addRows(writerId, keepRows(NO_ROWS, state, state, entry));
        break;
      case 'ClockStepped':
        // As the fold has it: with what was proven before it.
        for (const step of timeline?.steps.slice(-1) ?? []) {
          this.#addStep(writerId, event.timeline, step);
        }
        break;
      case 'Heartbeat':
      case 'TimelineClosed':
        break;
    }
    if (timeline !== null) this.#updateTimeline(writerId, timeline);
  }

  #openTimeline(writerId: number, timeline: TimelineState, seq: number | null): void {
    const taken = this.#db
      .prepare('SELECT 1 FROM timelines WHERE timeline = ?')
      .get(timeline.timeline);
    if (taken !== undefined) {
      throw new CatalogError('TM_LOG_STATE', `timeline ${timeline.timeline} was opened before`, {
        context: { timeline: timeline.timeline, seq },
      });
    }
    const { node } = timeline;
    this.#db
      .prepare(
        `INSERT INTO timelines (writer_id, timeline, opened_seq, source, opened_reason, opened_ms,
           previous, run_id, version, product, forgotten_steps_back, end_offset)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
      )
      .run(
        writerId,
        timeline.timeline,
        seq,
        timeline.source,
        timeline.reason,
        timeline.openedMs,
        timeline.previous,
        node.runId,
        node.version,
        node.product,
        // A log that is read from its beginning forgets none.
        seq === null ? timeline.forgottenStepsBack : 0,
      );
  }

  #updateTimeline(writerId: number, timeline: TimelineState): void {
    const { end, provenTo, closed } = timeline;
    this.#db
      .prepare(
        `UPDATE timelines SET end_offset = ?, proven_to = ?, closed_reason = ?, closed_ms = ?,
           closed_detail = ? WHERE writer_id = ? AND timeline = ?`,
      )
      .run(
        end,
        provenTo,
        closed?.reason ?? null,
        closed?.atMs ?? null,
        closed?.detail ?? null,
        writerId,
        timeline.timeline,
      );
  }

  #addStep(writerId: number, timeline: string, step: ClockStep): void {
    const { direction, before, offset, untilMs, fromMs, toMs, sinceMs, provenTo } = step;
    const id = this.#timelineId(writerId, timeline);
    this.#db
      .prepare(
        `INSERT INTO clock_steps (timeline_id, number, direction, before_offset, at_offset, until_ms,
           from_ms, to_ms, since_ms, proven_to)
         SELECT ?, count(*), ?, ?, ?, ?, ?, ?, ?, ? FROM clock_steps WHERE timeline_id = ?`,
      )
      .run(id, direction, before, offset, untilMs, fromMs, toMs, sinceMs, provenTo, id);
  }

  #addRows(writerId: number, rows: KeptRows): void {
    for (const row of rows.segments) this.#addSegment(writerId, row);
    for (const row of rows.snapshots) this.#addSnapshot(writerId, row);
    for (const row of rows.facts) this.#addNodeFacts(writerId, row);
    for (const proof of rows.proofs) this.#join(writerId, proof);
  }

  /** What a merged segment holds goes. */
  #addSegment(writerId: number, row: KeptSegment): void {
    const { header, stretch, provenTo, atMs } = row;
    const { level = 0 } = header;
    const timelineId = this.#timelineId(writerId, header.timeline);
    if (level > 0) {
      this.#db
        .prepare(
          'DELETE FROM segments WHERE timeline_id = ? AND start_offset >= ? AND end_offset <= ?',
        )
        .run(timelineId, header.start, header.end);
    }
    const before = this.#db
      .prepare<{ stretch: number; max_second: number | null }>(
        `SELECT stretch, max_second FROM segments WHERE timeline_id = ? AND start_offset < ?
         ORDER BY start_offset DESC LIMIT 1`,
      )
      .get(timelineId, header.start);
    const reached = before?.stretch === stretch ? before.max_second : null;
    const maxSecond = highest(reached, header.lastSecond);
    this.#db
      .prepare(
        `INSERT INTO segments (timeline_id, start_offset, end_offset, seq, level, stretch, max_second,
           db, max_db, in_multi, partial_bytes, commands, raw_bytes, first_second, last_second, frames,
           index_kind, object_key, object_size, object_digest, object_dek, object_kind, body_offset,
           proven_to, at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        timelineId,
        header.start,
        header.end,
        row.seq,
        level,
        stretch,
        maxSecond,
        header.db,
        header.maxDb,
        header.inMulti ? 1 : 0,
        header.partialBytes,
        header.commands,
        header.rawBytes,
        header.firstSecond,
        header.lastSecond,
        header.frames,
        header.indexKind,
        ...objectColumns(row),
        provenTo,
        atMs,
      );
  }

  #addSnapshot(writerId: number, row: KeptSnapshot): void {
    const { event } = row;
    this.#db
      .prepare(
        `INSERT INTO snapshots (timeline_id, seq, backup, stream_offset, from_second, mode,
           started_ms, ended_ms, rdb_bytes, summary, object_key, object_size, object_digest,
           object_dek, object_kind, body_offset)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        this.#timelineId(writerId, event.timeline),
        row.seq,
        event.backup,
        event.offset,
        event.from,
        event.mode,
        event.startedMs,
        event.endedMs,
        event.rdbBytes,
        JSON.stringify(event.summary),
        ...objectColumns(row),
      );
  }

  #addNodeFacts(writerId: number, row: KeptFacts): void {
    this.#db
      .prepare(
        `INSERT INTO node_facts (writer_id, seq, at_ms, object_key, object_size, object_digest,
           object_dek, object_kind, body_offset) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(writerId, row.seq, row.atMs, ...objectColumns(row));
  }

  /** Nothing happens unless the one timeline was opened right after the other. */
  #join(writerId: number, { closed, opened }: Pick<HoleProven, 'closed' | 'opened'>): void {
    this.#db
      .prepare(
        'UPDATE timelines SET joined = 1 WHERE writer_id = ? AND timeline = ? AND previous = ?',
      )
      .run(writerId, opened, closed);
  }

  #timelineId(writerId: number, timeline: string): number {
    const row = this.#db
      .prepare<{ id: number }>('SELECT id FROM timelines WHERE writer_id = ? AND timeline = ?')
      .get(writerId, timeline);
    if (row !== undefined) return row.id;
    throw new CatalogError('TM_CATALOG_DB', `the catalog lacks timeline ${timeline}`, {
      hint: 'delete the catalog file; it is built again',
    });
  }
}

/** Columns object_key, object_size, object_digest, object_dek, object_kind, body_offset. */
function objectColumns({
  object,
  bodyOffset,
}: KeptFacts | KeptSegment | KeptSnapshot): readonly (string | number | Buffer | null)[] {
  return [
    object.key,
    object.size,
    Buffer.from(object.digest, 'hex'),
    Buffer.from(object.dekId, 'hex'),
    object.kind,
    bodyOffset,
  ];
}

/** The store holds another entry than the one that was read before. */
export function replacedWriter(
  log: WriterLogId,
  known: WriterState,
  found: string | null,
): IntegrityError {
  const { iid, shard, writer } = log;
  const object = writerLogKey(iid, shard, writer, known.seq);
  const what = found === null ? 'is missing' : 'is not the one known here';
  return new IntegrityError('TM_LOG_CHAIN', `${object} ${what}`, {
    context: { iid, shard, writer, seq: known.seq, expected: known.digest, actual: found, object },
    hint: 'the store was replaced or set back; if that was meant: tidemark repo rebuild-catalog',
  });
}

function encodeState(state: WriterState): string {
  return canonicalJson(writerStateShape.encode(state, '$'));
}

function highest(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.max(a, b);
}
