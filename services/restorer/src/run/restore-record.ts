import { join } from 'node:path';
import type { TlsSettings } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import type { CommandForm } from '../feed/command-source.ts';
import type { FactsWish } from '../facts/facts-report.ts';
import type { FeedTlsPlan } from '../feed-tls/feed-tls-plan.ts';
import type { SkipJson } from '../closure/skip-range.ts';
import type { TtlRule } from '../plan/ttl-rule.ts';
import { RecordFiles } from '../records/record-files.ts';
import type { RestoreEnvironment } from './environment.ts';
import type { RestorePath } from './restore-path.ts';

/** What another process needs to go on with a restore or to call it off. Plain JSON, mode 0600. */
export interface RestoreRecord {
  readonly version: 1;
  readonly id: string;
  readonly instance: string;
  /** `replayed`: whole, but not promoted. A restore that is over has no record. */
  readonly state: 'running' | 'replayed';
  readonly startedMs: number;
  readonly at: number | null;
  /** The cut, so that a later plan stops at the same byte. */
  readonly timeline: string;
  readonly offset: string;
  /** What is known of the time of the cut, Unix milliseconds, for the report. */
  readonly bounds: { readonly notBeforeMs: number | null; readonly notAfterMs: number | null };
  /**
   * The snapshot that the replay begins with: one that was stored since would give another stream,
   * and a target that has part of the first would go on in the wrong place.
   */
  readonly backup: string;
  readonly ttl: TtlRule;
  /** What is selected (`selectorToJson`); absent or null: every key. */
  readonly selector?: unknown;
  readonly withFunctions?: boolean;
  /** Offsets of commands that are left out, both included. */
  readonly skip?: SkipJson | null;
  readonly promote: boolean;
  readonly rdbVersion: number | null;
  /** The form in which commands are sent. */
  readonly commands: CommandForm;
  readonly path: RestorePath;
  /** Facts of the node that are written too: those in force at this time, Unix milliseconds. */
  readonly facts: (FactsWish & { readonly atMs: number }) | null;
  readonly target: {
    readonly url: string;
    readonly passwordFile: string | null;
    /** Names of files and settings of TLS; absent without it. */
    readonly tls?: TlsSettings;
    /** Folder of a server that was started for this restore. */
    readonly newDir: string | null;
    /** The way in when such a server speaks TLS only. */
    readonly socket?: string;
  };
  readonly feed: {
    readonly listenHost: string;
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
    readonly replicationId: string;
    readonly baseOffset: string;
    /** How it is secured; absent: not at all. */
    readonly tls?: FeedTlsPlan;
  };
  /** Replication offset after all that was fed, exactly; null before all was replayed. */
  readonly replayedOffset: string | null;
  /** Settings of the target to be put back (`TargetRecord`). */
  readonly settings: unknown;
}

/** Keeps the records of restores in the state folder. */
export class RestoreRecords {
  readonly #files: RecordFiles;

  constructor(stateDir: string) {
    this.#files = new RecordFiles(join(stateDir, 'restores'));
  }

  /** Those of one restore. */
  static of({
    stateDir,
    recordsDir = stateDir,
  }: Pick<RestoreEnvironment, 'stateDir' | 'recordsDir'>): RestoreRecords {
    return new RestoreRecords(recordsDir);
  }

  /** Writes a record durably: it must be there before the target is touched. */
  async write(record: RestoreRecord): Promise<void> {
    await this.#files.write(record.id, record);
  }

  /** @throws UsageError `TM_NOT_FOUND` when there is no such restore. */
  async read(id: string): Promise<RestoreRecord> {
    try {
      return JSON.parse(await this.#files.read(id)) as RestoreRecord;
    } catch (cause) {
      if (cause instanceof UsageError) throw cause;
      throw new UsageError('TM_NOT_FOUND', `there is no restore ${id} to go on with`, {
        cause,
        hint: 'a restore that was promoted or called off is over',
      });
    }
  }

  /** Forgets a restore that is over: its one-time password need not lie around. */
  async remove(id: string): Promise<void> {
    await this.#files.remove(id);
  }
}

/**
 * How far a restore is that may be gone on with.
 * @returns Null when there is none: it did not begin, was promoted or called off.
 */
export async function restoreState(
  id: string,
  environment: Pick<RestoreEnvironment, 'stateDir' | 'recordsDir'>,
): Promise<RestoreRecord['state'] | null> {
  try {
    return (await RestoreRecords.of(environment).read(id)).state;
  } catch (cause) {
    if (cause instanceof UsageError && cause.code === 'TM_NOT_FOUND') return null;
    throw cause;
  }
}

/** Forgets a restore whose target is gone: there is nothing to call off any more. */
export async function forgetRestore(
  id: string,
  environment: Pick<RestoreEnvironment, 'stateDir' | 'recordsDir'>,
): Promise<void> {
  await RestoreRecords.of(environment).remove(id);
}
