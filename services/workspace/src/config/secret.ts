import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UsageError } from '@tidemark/core';
import { readTyped } from './typed-secret.ts';

const ENVIRONMENT = 'env:';
const CREDENTIAL = 'credential:';
/** Asks on the terminal. */
export const ASKED = '-';
const FILE_BYTES_MAX = 65_536;

/**
 * Where a password comes from: `env:NAME` (an environment variable), `credential:NAME` (a credential
 * that systemd gives the service: systemd.exec(5)), `-` (asked for on the terminal) or the path of a
 * file, made absolute. A password itself is never an argument.
 * @param base - Folder that a relative path is taken from.
 */
export function secretSource(text: string, base: string): string {
  const isNamed = text.startsWith(ENVIRONMENT) || text.startsWith(CREDENTIAL);
  return text === ASKED || isNamed ? text : resolve(base, text);
}

/**
 * Reads a password from what `secretSource` gave. Of a file it is the first line.
 * @param whose - For the question on the terminal, e.g. `the user capture of redis://10.0.0.5`.
 * @throws UsageError `TM_CONFIG` when it cannot be had, `TM_CANCELLED` when the question is refused.
 */
export async function readSecret(source: string, whose = 'the server'): Promise<string> {
  if (source === ASKED) return askSecret(`Password of ${whose}: `);
  if (source.startsWith(CREDENTIAL)) return firstLine(credentialPath(source));
  if (!source.startsWith(ENVIRONMENT)) return firstLine(source);
  const name = source.slice(ENVIRONMENT.length);
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  throw new UsageError('TM_CONFIG', `the environment variable ${name} holds no password`, {
    hint: `it is named as ${source}; or name a file whose first line is the password`,
  });
}

/** Where systemd has put a credential for this process. */
function credentialPath(source: string): string {
  const name = source.slice(CREDENTIAL.length);
  const folder = process.env['CREDENTIALS_DIRECTORY'] ?? '';
  if (folder !== '' && /^[A-Za-z0-9_.-]{1,255}$/.test(name) && !/^\.+$/.test(name)) {
    return join(folder, name);
  }
  throw new UsageError('TM_CONFIG', `${source} names no credential of this service`, {
    hint: 'LoadCredential= of its unit gives it one; a command that you run yourself has none: name a file',
  });
}

async function firstLine(path: string): Promise<string> {
  try {
    // A pipe would be waited for without end.
    if (!(await stat(path)).isFile()) throw new Error('it is no file');
    await using file = await open(path, 'r');
    const { size, mode } = await file.stat();
    if (size > FILE_BYTES_MAX) throw new Error('it is larger than 64 KiB');
    if ((mode & 0o022) !== 0) {
      throw new Error(`others may write it (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`);
    }
    const buffer = Buffer.alloc(FILE_BYTES_MAX);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    const text = buffer.toString('utf8', 0, bytesRead);
    buffer.fill(0);
    return text.split(/\r?\n/, 1)[0] ?? '';
  } catch (cause) {
    const isOurs = cause instanceof Error && !('code' in cause);
    const why = isOurs ? `: ${cause.message}` : '';
    throw new UsageError('TM_CONFIG', `cannot read the password file ${path}${why}`, {
      cause,
      hint: 'its first line is the password; only the user that runs tidemark need read it (0600)',
    });
  }
}

/** Asks without showing what is typed. */
async function askSecret(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) {
    throw new UsageError('TM_CONFIG', 'there is no terminal to ask for the password on', {
      hint: 'name a file whose first line it is, or env:NAME',
    });
  }
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.resume();
  try {
    return await readTyped(stdin, process);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}
