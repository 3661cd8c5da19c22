import { createHmac } from 'node:crypto';
import {
  access,
  constants,
  link,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError, type Random } from '@tidemark/core';
import { readSecret, type Config } from '@tidemark/workspace';

/** Names of files that are written here, by what they are for. */
const OWN = /^(recycle|clone|loader|restore)-/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const KEY_BYTES = 32;

/** Whether Tidemark wrote a file for itself, by its name. */
export const isOwnSecret = (name: string): boolean => OWN.test(name);

/**
 * The folder `secrets` beside tidemark.toml, or `[state] secrets_dir`. Requests and records hold names
 * of files in it, never what they hold.
 */
export class SecretFolder {
  readonly dir: string;

  constructor({ secretsDir }: Pick<Config, 'secretsDir'>) {
    this.dir = secretsDir;
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

  /**
   * A file that a request names. What was put there by Tidemark itself is none; `requireFor` knows the one
   * server that each of those may be given to.
   * @throws UsageError `TM_TARGET_DENIED`; as `require`.
   */
  async requireNamed(name: string): Promise<string> {
    if (!isOwnSecret(name)) return this.require(name);
    throw new UsageError('TM_TARGET_DENIED', 'this file is one that Tidemark wrote for itself', {
      hint: `put the password into a file of your own in ${this.dir}, mode 0600`,
    });
  }

  /**
   * The first line of a file.
   * @throws UsageError as `requirePrivate`, `TM_CONFIG` when it cannot be read.
   */
  async read(name: string): Promise<string> {
    return readSecret(await this.requirePrivate(name));
  }

  /**
   * The path of a file with a password.
   * @throws UsageError as `require`, `TM_CONFIG` when others may read it.
   */
  async requirePrivate(name: string): Promise<string> {
    const path = await this.require(name);
    const { mode } = await stat(path);
    if ((mode & 0o077) === 0) return path;
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    throw new UsageError('TM_CONFIG', `others may read ${name} in the folder of secrets`, {
      context: { mode: shown },
      hint: `chmod 0600 ${path}`,
    });
  }

  /**
   * Writes a password into a file of this user alone (0600). The same one gives the same name, so that a
   * request that is sent again stays the same request; the name tells nothing without the key that lies
   * beside it.
   * @returns The name of the file.
   */
  async keep(secret: string, prefix: string, random: Random): Promise<string> {
    const key = await this.#key(random);
    const digest = createHmac('sha256', key).update(`${prefix}\0${secret}`).digest('hex');
    const name = `${prefix}-${digest.slice(0, 24)}.pass`;
    await writeNew(this.path(name), `${secret}\n`);
    return name;
  }

  /** Makes up a password for a name, by the rules for new servers, unless there is one. */
  async keepNew(name: string, random: Random): Promise<void> {
    await this.#make();
    // 112 bits; upper case, lower case, a digit and another one are in it, whatever they are.
    await writeNew(this.path(name), `Tm0-${random.bytes(14).toString('hex')}\n`);
  }

  /** Writes a file anew. */
  async replace(name: string, secret: string): Promise<void> {
    await this.#make();
    await this.forget(name);
    await writeNew(this.path(name), `${secret}\n`);
  }

  async forget(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
  }

  /** What digests of requests are keyed with, so that one of a password cannot be tried out. */
  async digestKey(random: Random): Promise<Buffer> {
    return createHmac('sha256', await this.#key(random))
      .update('tidemark/request/v1')
      .digest();
  }

  /** @throws UsageError `TM_CONFIG` where nothing can be written, as beside a tidemark.toml in a read-only mount. */
  async #make(): Promise<void> {
    try {
      await mkdir(this.dir, { recursive: true, mode: 0o700 });
      await access(this.dir, constants.W_OK);
    } catch (cause) {
      throw new UsageError('TM_CONFIG', `the folder of secrets cannot be written: ${this.dir}`, {
        hint: 'let [state] secrets_dir name a folder that may be written',
        cause,
      });
    }
  }

  async #key(random: Random): Promise<Buffer> {
    await this.#make();
    const path = join(this.dir, '.key');
    const known = await readFile(path).catch(() => null);
    if (known?.length === KEY_BYTES) return known;
    // Whole from its first moment on: another process reads it, and a kill leaves none that is empty.
    const beside = `${path}-${random.bytes(8).toString('hex')}`;
    try {
      await writeFile(beside, random.bytes(KEY_BYTES), { mode: 0o600, flag: 'wx' });
      if (known === null) await link(beside, path).catch(unlessThere);
      else await rename(beside, path);
    } finally {
      await rm(beside, { force: true });
    }
    return readFile(path);
  }
}

/** What is there already stays. */
async function writeNew(path: string, content: string | Buffer): Promise<void> {
  await writeFile(path, content, { mode: 0o600, flag: 'wx' }).catch(unlessThere);
}

function unlessThere(cause: unknown): void {
  if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return;
  throw cause;
}
