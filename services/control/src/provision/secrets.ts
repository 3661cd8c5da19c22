import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UsageError, type Random } from '@tidemark/core';
import { readSecret } from '@tidemark/workspace';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * The folder `secrets` beside tidemark.toml. Requests and records hold names of files in it, never
 * what they hold.
 */
export class SecretFolder {
  readonly dir: string;

  /** @param configPath - Of tidemark.toml. */
  constructor(configPath: string) {
    this.dir = join(dirname(configPath), 'secrets');
  }

  /**
   * The path of a file that a request names.
   * @throws UsageError `TM_USAGE` for what is no plain name of a file.
   */
  path(name: string): string {
    if (NAME.test(name) && !name.includes('..')) return join(this.dir, name);
    throw new UsageError('TM_USAGE', 'a reference to a secret is no name of a file', {
      hint: `the name of a file in ${this.dir}, without folders`,
    });
  }

  /** @throws UsageError `TM_NOT_FOUND` when there is no such file; as `path`. */
  async require(name: string): Promise<string> {
    const path = this.path(name);
    const isFile = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) return path;
    throw new UsageError('TM_NOT_FOUND', `there is no file ${name} in the folder of secrets`, {
      hint: `put it into ${this.dir}, mode 0600`,
    });
  }

  /** The first line of a file. @throws UsageError as `require`, `TM_CONFIG` when it cannot be read. */
  async read(name: string): Promise<string> {
    return readSecret(await this.require(name));
  }

  /** Writes a new one, mode 0600. @returns Its name. */
  async keep(secret: string, prefix: string, random: Random): Promise<string> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    const name = `${prefix}-${random.bytes(12).toString('hex')}.pass`;
    await writeFile(this.path(name), `${secret}\n`, { mode: 0o600, flag: 'wx' });
    return name;
  }

  async forget(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
  }
}
