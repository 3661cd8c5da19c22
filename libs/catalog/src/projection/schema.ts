/** Version of the tables below; another version is dropped and rebuilt from the store. */
export const SCHEMA_VERSION = 9;

/** Marks a file as a catalog of ours ("TDMC"), so that nobody else's database is ever emptied. */
export const APPLICATION_ID = 0x54444d43;

/**
 * Tables of the projection. It is a cache: every row comes from a log entry, and offsets fit into
 * SQLite's signed 64 bits (`OFFSET_MAX`).
 *
 * `segments` holds what a restore can use: captured segments, and merged ones in place of those that
 * they hold. `segments.stretch` counts the steps back of the clock before it, and `segments.max_second` is the
 * highest `last_second` of its stretch up to that segment: it rises with `start_offset`, so that a
 * cut is found by index.
 *
 * `hidden` says what retention has marked of a timeline: snapshots before an offset and segments that
 * end at or before it; all of it where that is `OFFSET_MAX`. `dropped` names deleted backups above that
 * which are gone too; `pending` are those of the tombstone that stands.
 */
export const SCHEMA = `
CREATE TABLE instances (
  iid TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  seq INTEGER NOT NULL,
  digest TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE writers (
  id INTEGER PRIMARY KEY,
  iid TEXT NOT NULL REFERENCES instances (iid),
  shard TEXT NOT NULL,
  writer TEXT NOT NULL,
  seq INTEGER NOT NULL,
  digest TEXT NOT NULL,
  state TEXT NOT NULL,
  UNIQUE (iid, shard, writer)
) STRICT;

CREATE TABLE timelines (
  id INTEGER PRIMARY KEY,
  writer_id INTEGER NOT NULL REFERENCES writers (id) ON DELETE CASCADE,
  timeline TEXT NOT NULL UNIQUE,
  opened_seq INTEGER,
  source TEXT NOT NULL,
  opened_reason TEXT NOT NULL,
  opened_ms INTEGER NOT NULL,
  previous TEXT,
  joined INTEGER NOT NULL DEFAULT 0,
  run_id TEXT NOT NULL,
  version TEXT NOT NULL,
  product TEXT NOT NULL,
  end_offset INTEGER NOT NULL,
  proven_to INTEGER,
  forgotten_steps_back INTEGER NOT NULL DEFAULT 0,
  closed_reason TEXT,
  closed_ms INTEGER,
  closed_detail TEXT
) STRICT;

CREATE INDEX timelines_by_writer ON timelines (writer_id);

CREATE TABLE hidden (
  timeline_id INTEGER PRIMARY KEY REFERENCES timelines (id) ON DELETE CASCADE,
  below INTEGER NOT NULL
) STRICT;

CREATE TABLE dropped (
  iid TEXT NOT NULL REFERENCES instances (iid),
  backup TEXT NOT NULL,
  pending INTEGER NOT NULL,
  PRIMARY KEY (iid, backup)
) STRICT, WITHOUT ROWID;

CREATE TABLE clock_steps (
  timeline_id INTEGER NOT NULL REFERENCES timelines (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  direction TEXT NOT NULL,
  before_offset INTEGER NOT NULL,
  at_offset INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  since_ms INTEGER NOT NULL,
  proven_to INTEGER,
  PRIMARY KEY (timeline_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
  timeline_id INTEGER NOT NULL REFERENCES timelines (id) ON DELETE CASCADE,
  start_offset INTEGER NOT NULL,
  end_offset INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  level INTEGER NOT NULL,
  stretch INTEGER NOT NULL,
  max_second INTEGER,
  db INTEGER NOT NULL,
  max_db INTEGER NOT NULL,
  in_multi INTEGER NOT NULL,
  partial_bytes INTEGER NOT NULL,
  commands INTEGER NOT NULL,
  raw_bytes INTEGER NOT NULL,
  first_second INTEGER,
  last_second INTEGER,
  frames INTEGER NOT NULL,
  index_kind TEXT NOT NULL,
  object_key TEXT,
  object_size INTEGER NOT NULL,
  object_digest BLOB NOT NULL,
  object_dek BLOB NOT NULL,
  object_kind INTEGER NOT NULL,
  body_offset INTEGER NOT NULL,
  proven_to INTEGER,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (timeline_id, start_offset)
) STRICT, WITHOUT ROWID;

CREATE INDEX segments_by_second ON segments (timeline_id, stretch, max_second);

CREATE TABLE snapshots (
  id INTEGER PRIMARY KEY,
  timeline_id INTEGER NOT NULL REFERENCES timelines (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  backup TEXT NOT NULL,
  stream_offset INTEGER NOT NULL,
  from_second INTEGER NOT NULL,
  mode TEXT NOT NULL,
  started_ms INTEGER NOT NULL,
  ended_ms INTEGER NOT NULL,
  rdb_bytes INTEGER NOT NULL,
  summary TEXT NOT NULL,
  object_key TEXT,
  object_size INTEGER NOT NULL,
  object_digest BLOB NOT NULL,
  object_dek BLOB NOT NULL,
  object_kind INTEGER NOT NULL,
  body_offset INTEGER NOT NULL,
  UNIQUE (timeline_id, seq)
) STRICT;

CREATE INDEX snapshots_by_offset ON snapshots (timeline_id, stream_offset, from_second);
CREATE INDEX snapshots_by_backup ON snapshots (backup);

CREATE TABLE node_facts (
  writer_id INTEGER NOT NULL REFERENCES writers (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  object_key TEXT,
  object_size INTEGER NOT NULL,
  object_digest BLOB NOT NULL,
  object_dek BLOB NOT NULL,
  object_kind INTEGER NOT NULL,
  body_offset INTEGER NOT NULL,
  PRIMARY KEY (writer_id, seq)
) STRICT, WITHOUT ROWID;
`;

/** Tables in the order in which they can be dropped. */
export const TABLES: readonly string[] = [
  'node_facts',
  'snapshots',
  'segments',
  'clock_steps',
  'hidden',
  'dropped',
  'timelines',
  'writers',
  'instances',
];
