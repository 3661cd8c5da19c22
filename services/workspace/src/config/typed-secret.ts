import type { EventEmitter } from 'node:events';
import { UsageError } from '@tidemark/core';

/** Longer than any password that a server takes from a configuration line is worth reading. */
const LENGTH_MAX = 4_096;

/**
 * Reads a line from a terminal that shows nothing and gives every key as it is typed.
 * @param signals - Gives `SIGINT` and `SIGTERM`: the process.
 * @throws UsageError `TM_CANCELLED` for Ctrl-C, Ctrl-D, a signal, and when the terminal goes away.
 */
export function readTyped(
  input: NodeJS.ReadableStream,
  signals: Pick<EventEmitter, 'on' | 'off'>,
): Promise<string> {
  return new Promise((done, refuse) => {
    let bytes: number[] = [];
    const onData = (chunk: Buffer): void => {
      for (const byte of chunk) {
        if (byte === 0x03 || byte === 0x04) {
          onOver();
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
    const onOver = (): void =>
      end(() => refuse(new UsageError('TM_CANCELLED', 'no password was given')));
    const end = (settle: () => void): void => {
      input.off('data', onData);
      for (const name of OVER) input.off(name, onOver);
      for (const name of SIGNALS) signals.off(name, onOver);
      bytes.fill(0);
      settle();
    };
    input.on('data', onData);
    for (const name of OVER) input.on(name, onOver);
    for (const name of SIGNALS) signals.on(name, onOver);
  });
}

const OVER = ['end', 'close', 'error'] as const;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Takes the last character away, which may be of several bytes in UTF-8. */
function withoutLast(bytes: readonly number[]): number[] {
  let at = bytes.length - 1;
  while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at -= 1;
  return bytes.slice(0, Math.max(0, at));
}
