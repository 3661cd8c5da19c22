import { computeWindows, type TimelineSpan, type Windows } from '@tidemark/archive';
import { CatalogError, UsageError } from '@tidemark/core';
import type { InstanceState } from '../model/instance-state.ts';
import type { WriterState } from '../model/writer-state.ts';
import {
  guarded,
  guardedAsync,
  isDamage,
  openDatabase,
  replaceDatabase,
  type Connection,
} from './database.ts';
import { HiddenTable } from './hidden-table.ts';
import { InstanceTable } from './instance-table.ts';
import { Queries, type BackupPageQuestion, type PagedSnapshot } from './queries.ts';
import { RetentionQueries, type Marks } from './retention-queries.ts';
import type { CatalogFacts, CatalogSegment, CatalogSnapshot, CatalogTimeline } from './rows.ts';
import { TABLES } from './schema.ts';
import { Statements } from './statements.ts';
import { forEachInstance, syncInstance, type SyncOptions } from './sync.ts';
import { WriterTable } from './writer-table.ts';

/** A writer and how far its log was read. */
export interface CatalogWriter {
  readonly shard: string;
  readonly writer: string;
  readonly source: 'aof' | 'psync';
  /** The fold; the empty one before the first sync. */
  readonly state: WriterState;
}

/**
 * Opens the projection of the logs into SQLite. It is a cache: a file that is damaged or of another
 * version is built anew by the next `sync`.
 *
 * Several processes may use one file.
 * @param options - `path`: the file, made (0600) when absent.
 * @throws CatalogError `TM_CATALOG_DB`.
 */
export function openCatalog(options: { readonly path: string }): Catalog {
  return new Catalog(options.path, openDatabase(options.path));
}

/** What is asked for a tombstone, with what it hides. */
export type TombstoneQuestion<T> = (queries: RetentionQueries, marks: Marks) => T;

interface Parts {
  readonly statements: Statements;
  readonly instances: InstanceTable;
  readonly writers: WriterTable;
  readonly hidden: HiddenTable;
  readonly queries: Queries;
  readonly retention: RetentionQueries;
}

/** The projection: what the logs say, ready to be asked. */
export class Catalog implements Disposable {
  readonly path: string;
  #db: Connection;
  #parts: Parts;

  /** Use `openCatalog`. */
  constructor(path: string, db: Connection) {
    this.path = path;
    this.#db = db;
    this.#parts = partsOf(db);
  }

  /**
   * Reads what is new in the logs of the given instances, verified entry by entry. When the file
   * turns out to be damaged it is replaced and read anew.
   *
   * @returns How many entries were applied.
   * @throws IntegrityError `TM_LOG_CHAIN` when the store holds another log than the one known here
   *   (replaced or set back), `TM_LOG_GAP`, `TM_LOG_AUTH`; FormatError `TM_LOG_FORMAT`; KeyError
   *   `TM_KEY_MISSING`; CatalogError `TM_NOT_FOUND`, `TM_CATALOG_DB`; StoreError. One instance's
   *   fault does not keep the others from being read.
   */
  async sync(options: SyncOptions): Promise<{ readonly entries: number }> {
    try {
      return await this.#sync(options);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#db = replaceDatabase(this.path, this.#db);
      this.#parts = partsOf(this.#db);
      return this.#sync(options);
    }
  }

  /** Empties the projection; the next `sync` builds it from the store alone. */
  clear(): void {
    this.#guarded(({ statements }) => {
      statements.exclusively(() => {
        for (const table of TABLES) statements.prepare(`DELETE FROM ${table}`).run();
      });
    });
  }

  /** Every instance that was read, by id. */
  instances(): readonly InstanceState[] {
    return this.#guarded(({ instances }) => instances.ids().map((iid) => instances.state(iid)));
  }

  /**
   * One instance.
   *
   * @throws CatalogError `TM_NOT_FOUND` when it was never read.
   */
  instance(iid: string): InstanceState {
    const state = this.#guarded(({ instances }) => instances.state(iid));
    if (state.iid !== null) return state;
    throw new CatalogError('TM_NOT_FOUND', 'the catalog knows no such instance', {
      context: { iid },
    });
  }

  /** The writers of an instance, in the order of their registration. */
  writers(iid: string): readonly CatalogWriter[] {
    const known = this.instance(iid);
    return this.#guarded(({ writers }) =>
      known.writers.map(({ shard, writer, source }) => {
        const state = writers.stateOf({ iid, shard, writer });
        return { shard, writer, source, state };
      }),
    );
  }

  /** Timelines of an instance in the order of their opening. */
  timelines(iid: string): readonly CatalogTimeline[] {
    return this.#guarded(({ queries }) => queries.timelines(iid));
  }

  /** Snapshots of an instance, by timeline and offset. */
  snapshots(iid: string): readonly CatalogSnapshot[] {
    return this.#guarded(({ queries }) => queries.snapshots(iid));
  }

  /** Snapshots of an instance by the time they were begun, newest first, a page at a time. */
  backupPage(iid: string, question: BackupPageQuestion): readonly PagedSnapshot[] {
    return this.#guarded(({ queries }) => queries.backupPage(iid, question));
  }

  /** The snapshots of one backup, whatever its instance: one for each shard. */
  backupNamed(backup: string): readonly CatalogSnapshot[] {
    return this.#guarded(({ queries }) => queries.backupNamed(backup));
  }

  /**
   * The node facts of a writer in force at an instant: the newest that were taken by then, else the
   * first ones.
   *
   * @param atMs - Unix milliseconds; null = now.
   * @returns `null` when none are stored.
   */
  nodeFacts(
    log: { readonly iid: string; readonly shard: string; readonly writer: string },
    atMs: number | null = null,
  ): CatalogFacts | null {
    return this.#guarded(({ queries }) => queries.nodeFacts(log, atMs));
  }

  /**
   * Segments of a timeline that hold bytes of `[fromOffset, toOffset)`, in offset order.
   *
   * @param range - Default: from 0, to the end.
   */
  segments(
    timeline: string,
    range: { readonly fromOffset?: bigint; readonly toOffset?: bigint } = {},
  ): readonly CatalogSegment[] {
    return this.#guarded(({ queries }) => queries.segments(timeline, range));
  }

  /**
   * The first segment of a timeline with a mark after `second`: the cut of that second lies in it
   * or before it. `null` when no segment has one.
   *
   * @param stretch - How many steps back of the clock lie before it; a second may pass once in each.
   */
  segmentForCut(timeline: string, second: number, stretch = 0): CatalogSegment | null {
    return this.#guarded(({ queries }) => queries.segmentForCut(timeline, second, stretch));
  }

  /**
   * The restorable seconds of one shard.
   *
   * @param shard - May be left out when the instance has one.
   * @throws CatalogError `TM_NOT_FOUND`, UsageError `TM_USAGE` when a shard must be named.
   */
  windows(iid: string, shard?: string): Windows {
    return computeWindows(this.spans(iid, shard));
  }

  /**
   * What each timeline of one shard can restore, in the order of their opening.
   *
   * @param shard - May be left out when the instance has one.
   * @throws CatalogError `TM_NOT_FOUND`, UsageError `TM_USAGE` when a shard must be named.
   */
  spans(iid: string, shard?: string): readonly TimelineSpan[] {
    const { writers } = this.instance(iid);
    const shards = [...new Set(writers.map((writer) => writer.shard))];
    if (shard === undefined && shards.length > 1) {
      throw new UsageError('TM_USAGE', `the instance has ${shards.length} shards`, {
        context: { iid, shards: shards.length },
        hint: `name one of ${shards.join(', ')}`,
      });
    }
    const wanted = shard ?? shards[0];
    const spans = this.timelines(iid)
      .filter((timeline) => timeline.shard === wanted)
      .map(spanOf);
    return joinSpans(spans);
  }

  /** What retention asks of the tables, what it has marked included. */
  retention<T>(ask: (queries: RetentionQueries) => T): T {
    return this.#guarded(({ retention }) => ask(retention));
  }

  /**
   * What retention asks while it deletes what a tombstone marked. Another process may use this file and
   * be further by now: then what is hidden is no more what this tombstone marked.
   *
   * @param ask - All that it asks is of the same instant.
   * @returns Null when the tombstone does not stand any more, or its deletion has not begun.
   */
  ofTombstone<T>(iid: string, tombstone: string, ask: TombstoneQuestion<T>): T | null {
    return this.#guarded(({ statements, instances, retention }) =>
      statements.together(() => {
        const { expiry } = instances.state(iid);
        const stands = expiry.tombstone?.tombstone === tombstone && expiry.tombstone.begun;
        const { floors, dropped } = expiry;
        const pending = expiry.tombstone?.backups ?? [];
        return stands ? ask(retention, { floors, dropped, pending }) : null;
      }),
    );
  }

  /** Closes the file. */
  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #sync(options: SyncOptions): Promise<{ readonly entries: number }> {
    let entries = 0;
    await forEachInstance(options.instances, async (iid) => {
      entries += await guardedAsync(this.path, () => syncInstance(this.#parts, iid, options));
    });
    return { entries };
  }

  #guarded<T>(work: (parts: Parts) => T): T {
    return guarded(this.path, () => work(this.#parts));
  }
}

function partsOf(db: Connection): Parts {
  const statements = new Statements(db);
  return {
    statements,
    instances: new InstanceTable(statements),
    writers: new WriterTable(statements),
    hidden: new HiddenTable(statements),
    queries: new Queries(statements),
    retention: new RetentionQueries(statements),
  };
}

/**
 * A timeline reaches up to the next one where it was proven that nothing is missing between them:
 * until then its end is the dataset of the node.
 */
function joinSpans(spans: readonly JoinableSpan[]): readonly TimelineSpan[] {
  return spans.map(({ previous: _, joined: __, ...span }) => {
    const next = spans.find(({ previous, joined }) => joined && previous === span.timeline);
    if (next?.from == null || span.from === null) return span;
    return { ...span, to: Math.max(span.to ?? next.from - 1, next.from - 1) };
  });
}

interface JoinableSpan extends TimelineSpan {
  readonly previous: string | null;
  readonly joined: boolean;
}

function spanOf(timeline: CatalogTimeline): JoinableSpan {
  return {
    previous: timeline.previous,
    joined: timeline.joined,
    timeline: timeline.timeline,
    from: timeline.from,
    fromOffset: timeline.fromOffset,
    to: timeline.provenTo,
    steps: timeline.steps,
    forgottenStepsBack: timeline.forgottenStepsBack,
    closedBecause: timeline.closed?.reason ?? null,
    openedBecause: timeline.openedBecause,
  };
}
