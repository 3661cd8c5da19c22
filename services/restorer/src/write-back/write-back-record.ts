import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSafeName, UsageError } from '@tidemark/core';
import type { ConflictPolicy } from './write/write-task.ts';
import type { TtlChoice } from '../plan/ttl-rule.ts';

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
  readonly skip: { readonly from: string; readonly to: string } | null;
  readonly policy: ConflictPolicy;
}

/** Keeps the records of write-backs that are not over in the state folder. */
export class WriteBackRecords {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = join(stateDir, 'write-backs');
  }

  /** Writes a record durably: it is there before the original is touched. */
  async write(record: WriteBackRecord): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const path = this.#path(record.id);
    const file = await open(`${path}.tmp`, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(record));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
  }

  /** @returns Null when there is no such write-back to go on with. */
  async read(id: string): Promise<WriteBackRecord | null> {
    let text: string;
    try {
      text = await readFile(this.#path(id), 'utf8');
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
    await rm(this.#path(id), { force: true });
  }

  #path(id: string): string {
    if (isSafeName(id)) return join(this.#dir, `${id}.json`);
    throw new UsageError('TM_USAGE', `${JSON.stringify(id)} is not a restore id`);
  }
}
