import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSafeName, UsageError } from '@tidemark/core';
import { replaceFile } from '@tidemark/system';

/** Keeps records of restores as files of a folder, mode 0600: `<id>.json`. */
export class RecordFiles {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Writes a record durably: it is there whole, or as it was. */
  async write(id: string, record: object): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await replaceFile(this.#path(id), JSON.stringify(record), { durable: 'content' });
  }

  /**
   * @returns The text of a record.
   * @throws The fault of the file system, also when there is none.
   */
  async read(id: string): Promise<string> {
    return readFile(this.#path(id), 'utf8');
  }

  /** That there is none is no error. */
  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  /** @throws UsageError `TM_USAGE` for what is no id. */
  #path(id: string): string {
    if (isSafeName(id)) return join(this.#dir, `${id}.json`);
    throw new UsageError('TM_USAGE', `${JSON.stringify(id)} is not a restore id`);
  }
}
