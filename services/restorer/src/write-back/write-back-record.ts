import { join } from 'node:path';
import { UsageError } from '@tidemark/core';
import type { MissingKeys } from './key-difference.ts';
import type { ConflictPolicy } from './write/write-task.ts';
import type { SkipJson } from '../closure/skip-range.ts';
import type { TtlChoice } from '../plan/ttl-rule.ts';
import { RecordFiles } from '../records/record-files.ts';

/**
 * What another process needs to go on with a write into the original. Plain JSON, mode 0600; it holds
 * the names of the selected keys and no values.
 */
export interface WriteBackRecord {
  readonly version: 1;
  readonly id: string;
  readonly instance: string;
  readonly startedMs: number;
  readonly at: number | null;
  /** What is known of when the cut was, Unix milliseconds. */
  readonly bounds: { readonly notBeforeMs: number | null; readonly notAfterMs: number | null };
  readonly timeline: string;
  readonly offset: string;
  /** With its instants fixed: the same expiries again. */
  readonly ttl: TtlChoice;
  /** What the user asked for, for the report. */
  readonly ttlText: string;
  /** `selectorToJson`. */
  readonly selector: unknown;
  readonly skip: SkipJson | null;
  readonly policy: ConflictPolicy;
  /** Missing in records of earlier versions: `delete`. */
  readonly missingKeys?: MissingKeys;
}

/** Keeps the records of write-backs that are not over in the state folder. */
export class WriteBackRecords {
  readonly #files: RecordFiles;

  constructor(stateDir: string) {
    this.#files = new RecordFiles(join(stateDir, 'write-backs'));
  }

  /** Writes a record durably: it is there before the original is touched. */
  async write(record: WriteBackRecord): Promise<void> {
    await this.#files.write(record.id, record);
  }

  /** @returns Null when there is no such write-back to go on with. */
  async read(id: string): Promise<WriteBackRecord | null> {
    let text: string;
    try {
      text = await this.#files.read(id);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw cause;
    }
    try {
      return JSON.parse(text) as WriteBackRecord;
    } catch (cause) {
      throw new UsageError('TM_NOT_FOUND', `the record of ${id} cannot be read`, {
        cause,
        hint: 'start it again: keys that are as they were are left',
      });
    }
  }

  async remove(id: string): Promise<void> {
    await this.#files.remove(id);
  }
}
