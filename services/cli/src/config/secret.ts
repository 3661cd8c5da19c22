import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from '@tidemark/core';

const ENVIRONMENT = 'env:';
/** Asks on the terminal. */
export const ASKED = '-';
/** Longer than any password that a server takes from a configuration line is worth reading. */
const LENGTH_MAX = 4_096;

/**
 * Where a password comes from: `env:NAME` (an environment variable), `-` (asked for on the terminal)
 * or the path of a file, made absolute. A password itself is never an argument.
 * @param base - Folder that a relative path is taken from.
 */
export function secretSource(text: string, base: string): string {
  return text === ASKED || text.startsWith(ENVIRONMENT) ? text : resolve(base, text);
}

/**
 * Reads a password from what `secretSource` gave. Of a file it is the first line.
 * @param whose - For the question on the terminal, e.g. `the user capture of redis://10.0.0.5`.
 * @throws UsageError `TM_CONFIG` when it cannot be had, `TM_CANCELLED` when the question is refused.
 */
export async function readSecret(source: string, whose = 'the server'): Promise<string> {
  if (source === ASKED) return askSecret(`Password of ${whose}: `);
  if (!source.startsWith(ENVIRONMENT)) return firstLine(source);
  const name = source.slice(ENVIRONMENT.length);
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  throw new UsageError('TM_CONFIG', `the environment variable ${name} holds no password`, {
    hint: `it is named as ${source}; or name a file whose first line is the password`,
  });
}

async function firstLine(path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8');
    return text.split(/\r?\n/, 1)[0] ?? '';
  } catch (cause) {
    throw new UsageError('TM_CONFIG', `cannot read the password file ${path}`, {
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
    return await typed(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

function typed(input: NodeJS.ReadStream): Promise<string> {
  return new Promise((done, refuse) => {
    let bytes: number[] = [];
    const onData = (chunk: Buffer): void => {
      for (const byte of chunk) {
        if (byte === 0x03 || byte === 0x04) {
          end(() => refuse(new UsageError('TM_CANCELLED', 'no password was given')));
          return;
        }
        if (byte === 0x0d || byte === 0x0a) {
          const text = Buffer.from(bytes).toString('utf8');
          end(() => done(text));
          return;
        }
        if (byte === 0x7f || byte === 0x08) bytes = withoutLast(bytes);
        else if (bytes.length < LENGTH_MAX) bytes.push(byte);
      }
    };
    const end = (settle: () => void): void => {
      input.off('data', onData);
      bytes.fill(0);
      settle();
    };
    input.on('data', onData);
  });
}

/** Takes the last character away, which may be of several bytes in UTF-8. */
function withoutLast(bytes: readonly number[]): number[] {
  let at = bytes.length - 1;
  while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at -= 1;
  return bytes.slice(0, Math.max(0, at));
}
