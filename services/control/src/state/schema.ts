import { IDEMPOTENCY_TABLES } from '../api/idempotency-schema.ts';
import { PLAN_TABLES } from '../api/plan-schema.ts';
import { FLEET_TABLES } from '../fleet/schema.ts';
import { POLICY_TABLES } from '../policy/run-rows.ts';

/** Marks a file as a database of jobs ("TDMJ"), so that nobody else's is ever changed. */
export const APPLICATION_ID = 0x54444d4a;

/** Version of the tables; a file of a later one is left alone. */
export const SCHEMA_VERSION = 1;

/** `docs/formats/control-db.md` says what stands in them. */
const JOB_TABLES = `
CREATE TABLE IF NOT EXISTS meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  instance TEXT NOT NULL,
  state TEXT NOT NULL,
  exclusive TEXT,
  worker TEXT,
  until_ms INTEGER,
  not_before_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  seq INTEGER NOT NULL,
  line_seq INTEGER NOT NULL DEFAULT 0,
  logged_attempt INTEGER,
  fold TEXT NOT NULL,
  checkpoint TEXT NOT NULL DEFAULT 'null'
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS jobs_exclusive ON jobs (exclusive)
  WHERE ended_ms IS NULL AND exclusive IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (not_before_ms, id) WHERE ended_ms IS NULL;
CREATE INDEX IF NOT EXISTS jobs_ended ON jobs (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_unlogged ON jobs (id)
  WHERE ended_ms IS NOT NULL AND logged_attempt IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_left ON jobs (id)
  WHERE ended_ms IS NOT NULL AND json_extract(fold, '$.touched') = 1;
CREATE INDEX IF NOT EXISTS jobs_by_instance ON jobs (instance, id);

CREATE TABLE IF NOT EXISTS job_events (
  job TEXT NOT NULL,
  seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS job_lines (
  job TEXT NOT NULL,
  seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  level TEXT NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS job_keys (
  actor TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  job TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  via TEXT NOT NULL,
  action TEXT NOT NULL,
  instance TEXT,
  job TEXT,
  detail TEXT NOT NULL
) STRICT;
`;

/** Tables of every part that keeps something here; each is made where it is absent. */
export const SCHEMA: readonly string[] = [
  JOB_TABLES,
  POLICY_TABLES,
  IDEMPOTENCY_TABLES,
  PLAN_TABLES,
  FLEET_TABLES,
];
