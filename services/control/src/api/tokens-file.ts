import { constants } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import type { Logger } from '@tidemark/archiver';
import { UsageError } from '@tidemark/core';
import { editFile, nextOf } from '@tidemark/system';
import { parseTokens, tokenLine, type Credential } from './tokens-text.ts';

const BYTES_MAX = 256 * 1024;

/**
 * The tokens of a running server: read again as soon as the file changes, so that a token that is revoked
 * is refused from the next request on. While the file cannot be read nobody comes in.
 */
export class TokensFile {
  readonly #path: string;
  readonly #logger: Logger;
  #stamp = '';
  #credentials: readonly Credential[] = [];
  #reading: Promise<readonly Credential[]> | null = null;

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  /**
   * Who may come in now.
   * @throws UsageError `TM_TOKENS` when the file is missing, too large, or open to others.
   */
  credentials(): Promise<readonly Credential[]> {
    // One look for all that ask at the same time.
    this.#reading ??= this.#look().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #look(): Promise<readonly Credential[]> {
    const { text, stamp } = await readTokens(this.#path, this.#stamp);
    if (text === null) return this.#credentials;
    const { credentials, faults } = parseTokens(text);
    for (const { line, reason } of faults) {
      this.#logger.warn('a line of the tokens file is not in force', { line, reason });
    }
    if (this.#stamp !== '') {
      this.#logger.info('the tokens file was read again', { tokens: credentials.length });
    }
    this.#stamp = stamp;
    this.#credentials = credentials;
    return credentials;
  }
}

/** The lines of a tokens file; none when it is absent. */
export async function listTokens(path: string): Promise<ReturnType<typeof parseTokens>> {
  const text = await textOrNone(path);
  return parseTokens(text);
}

/**
 * Adds a line; makes the file (0600) when it is absent.
 * @throws UsageError `TM_EXISTS` for a name that is taken, `TM_TOKENS`.
 */
export async function addToken(path: string, credential: Credential): Promise<void> {
  await edit(path, (text) => {
    const taken = parseTokens(text).credentials.some(
      ({ name, digest }) =>
        digest.equals(credential.digest) || (name === credential.name && name !== 'cert'),
    );
    if (taken) {
      const { name, digest } = credential;
      const isCert = name === 'cert';
      const what = isCert ? 'this certificate has a line' : `there is a token ${name}`;
      throw new UsageError('TM_EXISTS', `${what} already`, {
        hint: `tidemark token revoke ${isCert ? digest.toString('hex') : name}`,
      });
    }
    const gap = text === '' || text.endsWith('\n') ? '' : '\n';
    return `${text}${gap}${tokenLine(credential)}\n`;
  });
}

/**
 * Takes the lines of a name out; other lines stay as they are.
 * @param name - Of a token, or the fingerprint of a certificate.
 * @throws UsageError `TM_NOT_FOUND`, `TM_TOKENS`.
 */
export async function revokeToken(path: string, name: string): Promise<void> {
  await edit(path, (text) => {
    const lines = text.split('\n');
    const left = lines.filter((line) => {
      const [first = '', second = ''] = line.trim().split(':');
      // `cert` is the name of none: it would be all of them.
      return first === 'cert' ? second.toLowerCase() !== name.toLowerCase() : first !== name;
    });
    if (left.length === lines.length) {
      throw new UsageError('TM_NOT_FOUND', `there is no token ${name}`, {
        hint: 'tidemark token list',
      });
    }
    return left.join('\n');
  });
}

async function edit(path: string, change: (text: string) => string): Promise<void> {
  try {
    await editFile(path, async () => change(await textOrNone(path)));
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new UsageError('TM_TOKENS', `cannot write ${path}`, {
      cause,
      hint: `its folder must be writable for the user of this process; while another one writes, ${nextOf(path)} is there`,
    });
  }
}

async function textOrNone(path: string): Promise<string> {
  const known = await stat(path).catch(() => null);
  if (known === null) return '';
  return (await readTokens(path, '')).text ?? '';
}

/** @returns A null text when the stamp is still the one that is known. */
async function readTokens(
  path: string,
  known: string,
): Promise<{ readonly text: string | null; readonly stamp: string }> {
  let file: FileHandle | null = null;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await file.stat({ bigint: true });
    const stamp = [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join('.');
    if ((facts.mode & 0o077n) !== 0n) {
      throw refused(path, 'others may read it', `chmod 600 ${path}`);
    }
    if (!facts.isFile() || facts.size > BYTES_MAX) {
      throw refused(path, 'it is no plain file of at most 256 KiB');
    }
    if (stamp === known) return { text: null, stamp };
    return { text: await file.readFile('utf8'), stamp };
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw refused(
      path,
      'it cannot be read',
      'make it with: tidemark token create NAME --scope read',
      cause,
    );
  } finally {
    await file?.close();
  }
}

function refused(path: string, why: string, hint?: string, cause?: unknown): UsageError {
  return new UsageError('TM_TOKENS', `the tokens file ${path} is not used: ${why}`, {
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}
