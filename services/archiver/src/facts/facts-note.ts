import { readFile, stat } from 'node:fs/promises';
import { authenticateLogBytes, type LogKey } from '@tidemark/crypto';
import { replaceFile } from '@tidemark/system';

const LABEL = Buffer.from('tidemark/node-facts/v1\0', 'latin1');

/** Which facts a writer log holds, said without telling them. */
export interface FactsNote {
  readonly writer: string;
  /** Of the owner that knew them to be the newest. */
  readonly generation: number;
  /** 64 hex. */
  readonly fingerprint: string;
  /** When they were stored, Unix milliseconds; the time of the file. */
  readonly storedMs: number;
}

/** The fingerprint of facts: without the log key no guess at their content can be tried. */
export function fingerprintOf(json: Buffer, logKey: LogKey): string {
  return authenticateLogBytes(logKey.key, Buffer.concat([LABEL, json])).toString('hex');
}

/** Reads a note; null when there is none, or one that a crash left torn. */
export async function readNote(path: string): Promise<FactsNote | null> {
  let text: string;
  let storedMs: number;
  try {
    text = await readFile(path, 'utf8');
    storedMs = (await stat(path)).mtimeMs;
  } catch {
    return null; // the facts are stored once more
  }
  const [, writer, generation, fingerprint] = /^(\S+) (\d+) ([0-9a-f]{64})\n$/.exec(text) ?? [];
  if (writer === undefined || fingerprint === undefined) return null;
  return { writer, generation: Number(generation), fingerprint, storedMs };
}

/** Writes a note (0600) in one step. */
export async function writeNote(path: string, note: FactsNote): Promise<void> {
  const { writer, generation, fingerprint, storedMs } = note;
  const text = `${writer} ${generation.toString()} ${fingerprint}\n`;
  await replaceFile(path, text, { modifiedMs: storedMs });
}
