import type { StateDatabase } from '../state/database.ts';
import type { Actor, Job, JobEvent, JobKind, JobLine, JobQuestion, JobState, Json } from './job.ts';
import { PAUSE_MS_MAX, type JobFold } from './job-machine.ts';
import type { SeenClaim } from './silent-claims.ts';

/** Events and lines that are kept of one job; the oldest go. */
const EVENTS_MAX = 256;
const LINES_MAX = 1000;
const MESSAGE_MAX = 1024;
const PAGE_MAX = 500;
/** Over the jobs that may be open on a host. */
const CLAIMS_MAX = 4096;

/** Bytes of the database from which on ended jobs are let go, however young: half of what it may have. */
const FILLED_BYTES = 1 << 29;
const PRUNE_MAX = 200;

/** How many ended jobs are kept, and for how long, in milliseconds. */
export interface JobRetention {
  readonly count: number;
  readonly ageMs: number;
}

/** Reads a fold as it is kept; one of before orders were counted is of the first. */
export function readFold(text: string): JobFold {
  return { ordered: 0, ...(JSON.parse(text) as Omit<JobFold, 'ordered'>) };
}

/** Jobs of this host that others do: those of some kinds, of instances that are not captured here. */
export interface LeftToOthers {
  readonly kinds: readonly JobKind[];
  /** The instances that are. */
  readonly here: ReadonlySet<string>;
  /** Jobs that nobody took. */
  readonly but: ReadonlySet<string>;
}

/** The rows of jobs. What reads or writes runs within `read` or `write` of the database. */
export class JobRows {
  readonly db: StateDatabase;

  constructor(db: StateDatabase) {
    this.db = db;
  }

  /** A job; null = there is none. */
  fold(id: string): JobFold | null {
    const row = this.db.query<{ fold: string }>('SELECT fold FROM jobs WHERE id = ?').get(id);
    return row === undefined ? null : readFold(row.fold);
  }

  /** Puts a job down, and what is told of it. @returns The event. */
  save(fold: JobFold, exclusive: string | null, atMs: number): JobEvent {
    const { job, claim, notBeforeMs } = fold;
    const known = this.db.query<{ seq: number }>('SELECT seq FROM jobs WHERE id = ?').get(job.id);
    const seq = (known?.seq ?? 0) + 1;
    this.db.run(
      `INSERT INTO jobs (id, kind, instance, state, exclusive, worker, until_ms, not_before_ms,
         ended_ms, seq, fold) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET state = excluded.state, exclusive = excluded.exclusive,
         worker = excluded.worker, until_ms = excluded.until_ms,
         not_before_ms = excluded.not_before_ms, ended_ms = excluded.ended_ms, seq = excluded.seq,
         fold = excluded.fold`,
      ...[job.id, job.kind, job.instance, job.state, exclusive],
      ...[claim?.worker ?? null, claim?.untilMs ?? null, notBeforeMs, job.endedMs, seq],
      JSON.stringify(fold),
    );
    // The request stands in the job, and is the same in all of its events.
    const { request: _request, ...told } = job;
    this.db.run(
      'INSERT INTO job_events (job, seq, at_ms, body) VALUES (?, ?, ?, ?)',
      ...[job.id, seq, atMs, JSON.stringify(told)],
    );
    this.db.run('DELETE FROM job_events WHERE job = ? AND seq <= ?', job.id, seq - EVENTS_MAX);
    return { seq, atMs, job };
  }

  /** Puts down until when a claim holds, which nobody is told. */
  saveClaim(fold: JobFold): void {
    this.db.run(
      'UPDATE jobs SET until_ms = ?, fold = ? WHERE id = ?',
      ...[fold.claim?.untilMs ?? null, JSON.stringify(fold), fold.job.id],
    );
  }

  /** What a job may not run beside; null = nothing. */
  exclusiveOf(id: string): string | null {
    const sql = 'SELECT exclusive FROM jobs WHERE id = ?';
    return this.db.query<{ exclusive: string | null }>(sql).get(id)?.exclusive ?? null;
  }

  /** An open job with one of these keys, each on a line; null = none. */
  holderOf(exclusive: string): string | null {
    const lf = 'char(10)';
    const sql = `SELECT id FROM jobs WHERE ended_ms IS NULL AND
      instr(${lf} || exclusive || ${lf}, ${lf} || ? || ${lf}) > 0`;
    const query = this.db.query<{ id: string }>(sql);
    for (const key of exclusive.split('\n')) {
      const holder = query.get(key);
      if (holder !== undefined) return holder.id;
    }
    return null;
  }

  /** How many jobs are open. */
  openCount(): number {
    const sql = 'SELECT count(*) AS n FROM jobs WHERE ended_ms IS NULL';
    return this.db.query<{ n: number }>(sql).get()?.n ?? 0;
  }

  /** How many jobs of an actor are open. */
  openCountOf({ name, via }: Actor): number {
    const sql = `SELECT count(*) AS n FROM jobs WHERE ended_ms IS NULL
      AND json_extract(fold, '$.job.actor.name') = ? AND json_extract(fold, '$.job.actor.via') = ?`;
    return this.db.query<{ n: number }>(sql).get(name, via)?.n ?? 0;
  }

  /** Characters that the open jobs of an actor have. */
  openChars({ name, via }: Actor): number {
    const sql = `SELECT coalesce(sum(length(fold)), 0) AS n FROM jobs WHERE ended_ms IS NULL
      AND json_extract(fold, '$.job.actor.name') = ? AND json_extract(fold, '$.job.actor.via') = ?`;
    return this.db.query<{ n: number }>(sql).get(name, via)?.n ?? 0;
  }

  /** Where a job stands, and who has it. */
  standing(id: string): { readonly state: JobState; readonly worker: string | null } | null {
    const sql = 'SELECT state, worker FROM jobs WHERE id = ?';
    return this.db.query<{ state: JobState; worker: string | null }>(sql).get(id) ?? null;
  }

  /** Open jobs of some kinds that a worker has. */
  claims(kinds: readonly JobKind[]): readonly SeenClaim[] {
    return this.db
      .query<{ id: string; worker: string; until_ms: number }>(
        `SELECT id, worker, until_ms FROM jobs WHERE ended_ms IS NULL AND worker IS NOT NULL
           AND kind IN (SELECT value FROM json_each(?)) LIMIT ?`,
      )
      .all(...[JSON.stringify(kinds), CLAIMS_MAX])
      .map(({ id, worker, until_ms: untilMs }) => ({ id, worker, untilMs }));
  }

  /**
   * Jobs of some kinds that wait and that a worker may take now, those that wait longest first.
   * @param left - Jobs of this host that another one does; null = none.
   */
  free(
    nowMs: number,
    kinds: readonly JobKind[],
    max: number,
    left: LeftToOthers | null = null,
  ): readonly string[] {
    const { kinds: theirs = [], here = [], but = [] } = left ?? {};
    return this.db
      .query<{ id: string }>(
        `SELECT id FROM jobs WHERE ended_ms IS NULL AND worker IS NULL
           AND (not_before_ms <= ? OR not_before_ms > ?) AND kind IN (SELECT value FROM json_each(?))
           AND NOT (state = 'queued' AND kind IN (SELECT value FROM json_each(?))
             AND instance NOT IN (SELECT value FROM json_each(?)) AND json_extract(fold, '$.foreign') = 0
             AND id NOT IN (SELECT value FROM json_each(?)))
         ORDER BY not_before_ms, id LIMIT ?`,
      )
      .all(
        ...[nowMs, nowMs + PAUSE_MS_MAX, JSON.stringify(kinds)],
        ...[JSON.stringify(theirs), JSON.stringify([...here]), JSON.stringify([...but]), max],
      )
      .map(({ id }) => id);
  }

  /** Newest first. */
  list(question: JobQuestion, beforeId: string | null): readonly Job[] {
    const { instance, state, kind, pageSize } = question;
    const wanted = [
      ['id < ?', beforeId],
      ['instance = ?', instance],
      ['state = ?', state],
      ['kind = ?', kind],
    ] as const;
    const given = wanted.filter(([, value]) => typeof value === 'string');
    const where = given.map(([sql]) => sql).join(' AND ');
    return this.db
      .query<{ fold: string }>(
        `SELECT fold FROM jobs ${where === '' ? '' : `WHERE ${where}`} ORDER BY id DESC LIMIT ?`,
      )
      .all(
        ...given.map(([, value]) => value ?? null),
        Math.max(1, Math.min(PAGE_MAX, Math.floor(pageSize))),
      )
      .map(({ fold }) => (JSON.parse(fold) as JobFold).job);
  }

  /** The number of the last event of a job, and where it stands: what who waits for news looks at. */
  head(id: string): { readonly seq: number; readonly state: JobState } | null {
    const sql = 'SELECT seq, state FROM jobs WHERE id = ?';
    return this.db.query<{ seq: number; state: JobState }>(sql).get(id) ?? null;
  }

  /** Events after a number, in order. */
  events(id: string, afterSeq: number, max: number): readonly JobEvent[] {
    const rows = this.db
      .query<{ seq: number; at_ms: number; body: string }>(
        'SELECT seq, at_ms, body FROM job_events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?',
      )
      .all(...[id, afterSeq, max]);
    if (rows.length === 0) return [];
    const request = this.fold(id)?.job.request ?? null;
    return rows.map(({ seq, at_ms: atMs, body }) => ({
      ...{ seq, atMs },
      job: { ...(JSON.parse(body) as Job), request },
    }));
  }

  /** Lines after a number, in order. */
  lines(id: string, afterSeq: number, max: number): readonly JobLine[] {
    return this.db
      .query<{ seq: number; at_ms: number; level: JobLine['level']; message: string }>(
        `SELECT seq, at_ms, level, message FROM job_lines WHERE job = ? AND seq > ?
         ORDER BY seq LIMIT ?`,
      )
      .all(...[id, afterSeq, max])
      .map(({ seq, at_ms: atMs, level, message }) => ({ seq, atMs, level, message }));
  }

  /** Adds a line to the log of a job. */
  addLine(id: string, line: Omit<JobLine, 'seq'>): void {
    const known = this.db
      .query<{ seq: number }>(
        'UPDATE jobs SET line_seq = line_seq + 1 WHERE id = ? RETURNING line_seq AS seq',
      )
      .get(id);
    if (known === undefined) return;
    this.db.run(
      'INSERT INTO job_lines (job, seq, at_ms, level, message) VALUES (?, ?, ?, ?, ?)',
      ...[id, known.seq, line.atMs, line.level, line.message.slice(0, MESSAGE_MAX)],
    );
    const sql = 'DELETE FROM job_lines WHERE job = ? AND seq <= ?';
    this.db.run(sql, id, known.seq - LINES_MAX);
  }

  /** What the last attempt kept. */
  checkpoint(id: string): Json {
    const sql = 'SELECT checkpoint FROM jobs WHERE id = ?';
    const row = this.db.query<{ checkpoint: string }>(sql).get(id);
    return row === undefined ? null : (JSON.parse(row.checkpoint) as Json);
  }

  /** Keeps what the next attempt is given. */
  saveCheckpoint(id: string, checkpoint: Json): void {
    this.db.run('UPDATE jobs SET checkpoint = ? WHERE id = ?', JSON.stringify(checkpoint), id);
  }

  /** Notes that the log of the instance holds the claim of an attempt. */
  noteLogged(id: string, attempt: number): void {
    this.db.run('UPDATE jobs SET logged_attempt = ? WHERE id = ?', attempt, id);
  }

  /** Notes that the log holds the end of an attempt; the claim of a later one stands. */
  noteUnlogged(id: string, attempt: number): void {
    const sql = 'UPDATE jobs SET logged_attempt = NULL WHERE id = ? AND logged_attempt <= ?';
    this.db.run(sql, id, attempt);
  }

  /** Notes that the log holds the end of a job, unless that is open again by now. */
  noteEnded(id: string): void {
    const sql = 'UPDATE jobs SET logged_attempt = NULL WHERE id = ? AND ended_ms IS NOT NULL';
    this.db.run(sql, id);
  }

  /** Whether the log of the instance may hold a claim of this host, or an attempt here kept something. */
  isBegun(id: string): boolean {
    const sql = `SELECT logged_attempt IS NOT NULL OR checkpoint <> 'null' AS begun FROM jobs WHERE id = ?`;
    return this.db.query<{ begun: number }>(sql).get(id)?.begun === 1;
  }

  /** Ended jobs whose end the log of their instance does not hold yet. */
  unlogged(max: number): readonly JobFold[] {
    return this.db
      .query<{ fold: string }>(
        'SELECT fold FROM jobs WHERE ended_ms IS NOT NULL AND logged_attempt IS NOT NULL LIMIT ?',
      )
      .all(max)
      .map(({ fold }) => JSON.parse(fold) as JobFold);
  }

  /** Forgets a job. */
  remove(id: string): void {
    for (const table of ['job_events', 'job_lines', 'job_keys']) {
      this.db.run(`DELETE FROM ${table} WHERE job = ?`, id);
    }
    this.db.run('DELETE FROM jobs WHERE id = ?', id);
  }

  /** Lets go of ended jobs over the retention, some at a time. @returns How many. */
  prune({ count, ageMs }: JobRetention, nowMs: number): number {
    const over = this.db
      .query<{ id: string }>(
        `SELECT id FROM jobs WHERE ended_ms IS NOT NULL AND logged_attempt IS NULL AND (ended_ms < ?
         OR ended_ms <= (SELECT ended_ms FROM jobs WHERE ended_ms IS NOT NULL
                         ORDER BY ended_ms DESC LIMIT 1 OFFSET ?)) LIMIT ${PRUNE_MAX}`,
      )
      .all(...[nowMs - ageMs, count]);
    for (const { id } of over) this.remove(id);
    return over.length;
  }

  /** Lets go of the oldest ended jobs, some at a time, once the database is half full. @returns How many. */
  makeRoom(filledBytes: number = FILLED_BYTES): number {
    const used = this.db
      .query<{ bytes: number }>(
        `SELECT (c.page_count - f.freelist_count) * s.page_size AS bytes
         FROM pragma_page_count AS c, pragma_freelist_count AS f, pragma_page_size AS s`,
      )
      .get();
    if ((used?.bytes ?? 0) < filledBytes) return 0;
    const over = this.db
      .query<{ id: string }>(
        `SELECT id FROM jobs WHERE ended_ms IS NOT NULL AND logged_attempt IS NULL
         ORDER BY ended_ms LIMIT ${PRUNE_MAX}`,
      )
      .all();
    for (const { id } of over) this.remove(id);
    return over.length;
  }
}
