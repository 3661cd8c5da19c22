import { deletedBackups } from '../model/instance-backups.ts';
import type { InstanceState } from '../model/instance-state.ts';
import type {
  RetentionFloor,
  RetentionShard,
  RetentionTimeline,
  WrittenSeconds,
} from '../retention/history.ts';
import type { LoggedFacts } from '../retention/log-cut.ts';
import type { Amount } from '../retention/plan-retention.ts';
import { OFFSET_MAX } from '../model/wire/shape.ts';
import { Queries, SHOWN_SNAPSHOT } from './queries.ts';
import type { CatalogSnapshot, CatalogTimeline, Row } from './rows.ts';
import type { Statements } from './statements.ts';
import { withoutShredded, type Shredded } from './without-shredded.ts';

/** An object of its own that retention has marked. */
export interface MarkedObject {
  readonly key: string;
  readonly bytes: number;
}

/** First entries of a writer log that are needed. */
export interface NeededEntries {
  /** Of those whose body is something that is shown; null = of none. */
  readonly bodies: number | null;
  /** Of all that name something that is shown, or open a timeline that is; null = none does. */
  readonly any: number | null;
}

/** What the state of an instance hides. */
export interface Marks {
  readonly floors: readonly RetentionFloor[];
  /** Backups above the floors. */
  readonly dropped: readonly string[];
  /** Those of them that the tombstone that stands speaks of. */
  readonly pending: readonly string[];
}

const VISIBLE_SEGMENT = 's.end_offset > coalesce(h.below, 0)';
const OBJECTS = (where: { readonly segment: string; readonly snapshot: string }): string => `
SELECT s.timeline_id, s.end_offset AS at, s.seq, s.object_key, s.object_size, s.object_dek
FROM segments s LEFT JOIN hidden h ON h.timeline_id = s.timeline_id WHERE ${where.segment}
UNION ALL
SELECT p.timeline_id, p.stream_offset AS at, p.seq, p.object_key, p.object_size, p.object_dek
FROM snapshots p LEFT JOIN hidden h ON h.timeline_id = p.timeline_id WHERE ${where.snapshot}`;
const SHOWN = OBJECTS({ segment: VISIBLE_SEGMENT, snapshot: SHOWN_SNAPSHOT });
const MARKED = OBJECTS({
  segment: `NOT ${VISIBLE_SEGMENT}`,
  // Those that went with an earlier tombstone are deleted.
  snapshot: `NOT (${SHOWN_SNAPSHOT})
    AND p.backup NOT IN (SELECT backup FROM dropped WHERE pending = 0)`,
});

/** Stands in for the tables of these names: what the state hides, whatever the tables show by now. */
const HIDDEN_BY = `
WITH floors AS (SELECT w.id AS writer_id, t.id, CAST(json_extract(f.value, '$[2]') AS INTEGER) AS below
  FROM json_each(?) f JOIN writers w ON w.writer = json_extract(f.value, '$[0]')
  JOIN timelines t ON t.writer_id = w.id AND t.timeline = json_extract(f.value, '$[1]')
  WHERE w.iid = ?),
hidden AS (SELECT t.id AS timeline_id, iif(t.id = f.id, f.below, ?) AS below
  FROM floors f JOIN timelines t ON t.writer_id = f.writer_id AND t.id <= f.id),
dropped AS (SELECT json_extract(value, '$[0]') AS backup, json_extract(value, '$[1]') AS pending
  FROM json_each(?))`;

/** Questions of retention to the projection. */
export class RetentionQueries {
  readonly #db: Statements;
  readonly #queries: Queries;

  constructor(db: Statements) {
    this.#db = db;
    this.#queries = new Queries(db);
  }

  /**
   * The history of an instance by shards.
   * @param marked - Also what retention has marked.
   * @param state - Of the instance: which snapshots can be opened no more, and which were given up.
   */
  shards(
    iid: string,
    marked: boolean,
    state: Shredded & Pick<InstanceState, 'backups'>,
  ): readonly RetentionShard[] {
    const timelines = this.#queries.timelines(iid, marked);
    const snapshots = this.#queries.snapshots(iid, marked);
    const readable = new Set(withoutShredded(snapshots, state));
    const written = this.#written(iid);
    const deleted = deletedBackups(state.backups);
    return [...new Set(timelines.map(({ shard }) => shard))].sort().map((shard) => {
      const own = timelines.filter((each) => each.shard === shard);
      const writers = [...new Set(own.map(({ writer }) => writer))].map((writer) => ({
        writer,
        timelines: this.#inLogOrder(own.filter((each) => each.writer === writer)).map((each) => ({
          ...historyOf(each, snapshots, { readable, deleted }),
          joinedOn: timelines.some((one) => one.joined && one.previous === each.timeline),
          written: written.get(each.timeline) ?? [],
        })),
      }));
      return { shard, writers, order: own.map(({ timeline }) => timeline) };
    });
  }

  /** When something was written, by timelines, with pauses of a minute at most. */
  #written(iid: string): ReadonlyMap<string, readonly WrittenSeconds[]> {
    const rows = this.#db
      .prepare<WrittenSeconds & { readonly timeline: string }>(
        `WITH own AS (SELECT s.*, t.timeline, max(s.last_second) OVER (
             PARTITION BY s.timeline_id, s.stretch ORDER BY s.start_offset
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
           FROM segments s JOIN timelines t ON t.id = s.timeline_id
           JOIN writers w ON w.id = t.writer_id WHERE w.iid = ? AND s.first_second IS NOT NULL),
         runs AS (SELECT *, sum(before IS NULL OR first_second - before > 60) OVER (
             PARTITION BY timeline_id, stretch ORDER BY start_offset) AS run FROM own)
         SELECT timeline, stretch, min(first_second) AS "from", max(last_second) AS "to"
         FROM runs GROUP BY timeline_id, stretch, run ORDER BY timeline_id, stretch, run`,
      )
      .all(iid);
    const found = new Map<string, WrittenSeconds[]>();
    for (const { timeline, ...one } of rows) {
      const known = found.get(timeline);
      if (known === undefined) found.set(timeline, [one]);
      else known.push(one);
    }
    return found;
  }

  /** Everything that is shown of an instance. */
  total(iid: string): Amount {
    const row = this.#db
      .rows(
        `SELECT count(*) AS objects, total(o.object_size) AS bytes FROM (${SHOWN}) o
         JOIN timelines t ON t.id = o.timeline_id JOIN writers w ON w.id = t.writer_id
         WHERE w.iid = ?`,
      )
      .get(iid);
    return amountOf(row);
  }

  /** What is shown of an instance and would go with a floor. */
  below(iid: string, { writer, timeline, offset }: RetentionFloor): Amount {
    const row = this.#db
      .rows(
        `WITH floor AS (
           SELECT t.id FROM timelines t JOIN writers w ON w.id = t.writer_id
           WHERE w.iid = ? AND w.writer = ? AND t.timeline = ?),
         gone AS (
           SELECT t.id, iif(t.id = floor.id, ?, ?) AS below FROM floor
           JOIN timelines f ON f.id = floor.id
           JOIN timelines t ON t.writer_id = f.writer_id AND t.id <= floor.id)
         SELECT count(*) AS objects, total(object_size) AS bytes FROM (
           SELECT s.object_size FROM segments s JOIN gone g ON g.id = s.timeline_id
           LEFT JOIN hidden h ON h.timeline_id = s.timeline_id
           WHERE s.end_offset <= g.below AND ${VISIBLE_SEGMENT}
           UNION ALL
           SELECT p.object_size FROM snapshots p JOIN gone g ON g.id = p.timeline_id
           LEFT JOIN hidden h ON h.timeline_id = p.timeline_id
           WHERE p.stream_offset < g.below AND ${SHOWN_SNAPSHOT})`,
      )
      .get(iid, writer, timeline, offset, OFFSET_MAX);
    return amountOf(row);
  }

  /** What is shown of a backup, of one writer or of all. */
  ofBackup(iid: string, backup: string, writer: string | null = null): Amount {
    const row = this.#db
      .rows(
        `SELECT count(*) AS objects, total(p.object_size) AS bytes FROM snapshots p
         JOIN timelines t ON t.id = p.timeline_id JOIN writers w ON w.id = t.writer_id
         LEFT JOIN hidden h ON h.timeline_id = t.id
         WHERE w.iid = ? AND p.backup = ? AND w.writer = coalesce(?, w.writer) AND ${SHOWN_SNAPSHOT}`,
      )
      .get(iid, backup, writer);
    return amountOf(row);
  }

  /**
   * Which of some backups no snapshot is left of: all lie below the floors. One that was let go of
   * singly is left: a catalog that is built anew reads of it again.
   */
  goneBackups(
    iid: string,
    floors: readonly RetentionFloor[],
    backups: readonly string[],
  ): readonly string[] {
    return this.#db
      .prepare<{ backup: string }>(
        `${HIDDEN_BY}
         SELECT value AS backup FROM json_each(?) WHERE value NOT IN (
           SELECT p.backup FROM snapshots p
           JOIN timelines t ON t.id = p.timeline_id JOIN writers w ON w.id = t.writer_id
           LEFT JOIN hidden h ON h.timeline_id = t.id
           WHERE w.iid = ? AND p.stream_offset >= coalesce(h.below, 0)) ORDER BY value`,
      )
      .all(...hiddenBy(iid, { floors, dropped: [], pending: [] }), JSON.stringify(backups), iid)
      .map(({ backup }) => backup);
  }

  /** Objects of their own that a tombstone marks, by key; a page after `after`. */
  marked(
    iid: string,
    marks: Marks,
    { after, limit }: { readonly after: string; readonly limit: number },
  ): readonly MarkedObject[] {
    return this.#db
      .prepare<MarkedObject>(
        `${HIDDEN_BY}
         SELECT o.object_key AS key, o.object_size AS bytes FROM (${MARKED}) o
         JOIN timelines t ON t.id = o.timeline_id JOIN writers w ON w.id = t.writer_id
         WHERE w.iid = ? AND o.object_key > ? ORDER BY o.object_key LIMIT ?`,
      )
      .all(...hiddenBy(iid, marks), iid, after, limit);
  }

  /**
   * Data keys that only objects were sealed with that a tombstone marks, 32 hex digits each. That of the
   * newest segment of each writer may seal more and is left out; a snapshot has one of its own.
   */
  deadKeys(iid: string, marks: Marks): readonly string[] {
    const rows = this.#db
      .rows(
        `${HIDDEN_BY},
         own AS (SELECT t.id, t.writer_id FROM timelines t
           JOIN writers w ON w.id = t.writer_id WHERE w.iid = ?),
         shown AS (SELECT o.object_dek FROM (${SHOWN}) o JOIN own ON own.id = o.timeline_id
           UNION SELECT f.object_dek FROM node_facts f JOIN writers w ON w.id = f.writer_id
             WHERE w.iid = ?),
         newest AS (SELECT s.object_dek, max(s.seq) FROM segments s
           JOIN own ON own.id = s.timeline_id GROUP BY own.writer_id)
         SELECT DISTINCT o.object_dek AS dek FROM (${MARKED}) o JOIN own ON own.id = o.timeline_id
         WHERE o.object_dek NOT IN (SELECT object_dek FROM shown)
           AND o.object_dek NOT IN (SELECT object_dek FROM newest) ORDER BY dek`,
      )
      .all(...hiddenBy(iid, marks), iid, iid);
    return rows.map((row) => (row['dek'] as Buffer).toString('hex'));
  }

  /** Which entries of a writer's log are needed for what is shown, and not below a floor. */
  neededEntries(iid: string, writer: string, floor: RetentionFloor | null): NeededEntries {
    const row = this.#db
      .rows(
        `WITH own AS (SELECT t.id, t.opened_seq, coalesce(h.below, 0) AS hidden, t.timeline
           FROM timelines t JOIN writers w ON w.id = t.writer_id
           LEFT JOIN hidden h ON h.timeline_id = t.id WHERE w.iid = ? AND w.writer = ?),
         at AS (SELECT coalesce((SELECT id FROM own WHERE timeline = ?), -1) AS id),
         kept AS (SELECT own.id, own.opened_seq, max(own.hidden,
           iif(own.id < at.id, ?, iif(own.id = at.id, ?, 0))) AS below FROM own JOIN at),
         named AS (
           SELECT s.seq, s.object_key FROM segments s JOIN kept k ON k.id = s.timeline_id
           WHERE s.end_offset > k.below
           UNION ALL
           SELECT p.seq, p.object_key FROM snapshots p JOIN kept k ON k.id = p.timeline_id
           WHERE p.stream_offset >= k.below
             AND p.backup NOT IN (SELECT backup FROM dropped))
         SELECT (SELECT min(seq) FROM named WHERE object_key IS NULL) AS bodies,
           (SELECT min(seq) FROM named) AS named,
           (SELECT min(opened_seq) FROM kept WHERE below < ?
             AND id > (SELECT min(id) FROM kept WHERE below < ?)) AS opened`,
      )
      .get(
        ...[iid, writer, floor?.timeline ?? ''],
        ...[OFFSET_MAX, floor?.offset ?? 0n, OFFSET_MAX, OFFSET_MAX],
      );
    const [named, opened] = [numOrNull(row, 'named'), numOrNull(row, 'opened')];
    const any = named === null || opened === null ? (named ?? opened) : Math.min(named, opened);
    return { bodies: numOrNull(row, 'bodies'), any };
  }

  /** Node facts of a writer in log order. */
  facts(iid: string, writer: string): readonly LoggedFacts[] {
    return this.#db
      .prepare<LoggedFacts>(
        `SELECT f.seq, f.at_ms AS atMs, lower(hex(f.object_dek)) AS dekId FROM node_facts f JOIN writers w ON w.id = f.writer_id
         WHERE w.iid = ? AND w.writer = ? ORDER BY f.seq`,
      )
      .all(iid, writer);
  }

  /** Whether the log of a writer names a segment object, marked or not. */
  namesSegment(timeline: string, start: bigint, key: string): boolean {
    const row = this.#db
      .prepare(
        `SELECT 1 FROM segments s JOIN timelines t ON t.id = s.timeline_id
         WHERE t.timeline = ? AND s.start_offset = ? AND s.object_key = ?`,
      )
      .get(timeline, start, key);
    return row !== undefined;
  }

  /** Keys of the snapshots of an instance, marked or not. */
  snapshotKeys(iid: string): ReadonlySet<string> {
    const all = this.#queries.snapshots(iid, true);
    return new Set(all.flatMap(({ object }) => object.key ?? []));
  }

  /** Keys of snapshots that retention let go of singly and is done with: the store may still hold them. */
  droppedKeys(iid: string): ReadonlySet<string> {
    const rows = this.#db
      .prepare<{ key: string }>(
        `SELECT p.object_key AS key FROM snapshots p JOIN timelines t ON t.id = p.timeline_id
         JOIN writers w ON w.id = t.writer_id
         WHERE w.iid = ? AND p.object_key IS NOT NULL
           AND p.backup IN (SELECT backup FROM dropped WHERE iid = w.iid AND pending = 0)`,
      )
      .all(iid);
    return new Set(rows.map(({ key }) => key));
  }

  /** The order of the log: by time two timelines of one writer could stand the other way round. */
  #inLogOrder(timelines: readonly CatalogTimeline[]): readonly CatalogTimeline[] {
    const rowOf = (timeline: string): number =>
      this.#db.prepare<{ id: number }>('SELECT id FROM timelines WHERE timeline = ?').get(timeline)
        ?.id ?? 0;
    const ids = new Map(timelines.map(({ timeline }) => [timeline, rowOf(timeline)]));
    const idOf = ({ timeline }: CatalogTimeline): number => ids.get(timeline) ?? 0;
    return [...timelines].sort((a, b) => idOf(a) - idOf(b));
  }
}

/** What `HIDDEN_BY` is bound to. */
function hiddenBy(
  iid: string,
  { floors, dropped, pending }: Marks,
): [string, string, bigint, string] {
  const places = floors.map(({ writer, timeline, offset }) => [writer, timeline, `${offset}`]);
  const backups = dropped.map((backup) => [backup, pending.includes(backup) ? 1 : 0]);
  return [JSON.stringify(places), iid, OFFSET_MAX, JSON.stringify(backups)];
}

function historyOf(
  timeline: CatalogTimeline,
  snapshots: readonly CatalogSnapshot[],
  of: {
    readonly readable: ReadonlySet<CatalogSnapshot>;
    readonly deleted: ReadonlySet<string>;
  },
): RetentionTimeline {
  return {
    timeline: timeline.timeline,
    from: timeline.from,
    fromOffset: timeline.fromOffset,
    to: timeline.provenTo,
    steps: timeline.steps,
    forgottenStepsBack: timeline.forgottenStepsBack,
    closedBecause: timeline.closed?.reason ?? null,
    openedBecause: timeline.openedBecause,
    end: timeline.end,
    open: timeline.closed === null,
    snapshots: snapshots
      .filter((one) => one.timeline === timeline.timeline)
      .map((one) => ({
        ...{ backup: one.backup, offset: one.offset, from: one.from },
        shredded: !of.readable.has(one),
        deleted: of.deleted.has(one.backup),
      })),
  };
}

function amountOf(row: Row | undefined): Amount {
  return { objects: Number(row?.['objects'] ?? 0), bytes: Number(row?.['bytes'] ?? 0) };
}

function numOrNull(row: Row | undefined, name: string): number | null {
  const value = row?.[name];
  return value === null || value === undefined ? null : Number(value);
}
