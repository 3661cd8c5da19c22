import { createInterface } from 'node:readline/promises';
import { UsageError } from '@tidemark/core';

/**
 * Makes sure that what cannot be undone is meant: the id of the instance must be typed, in a flag or
 * on the terminal. A `--yes` is not enough.
 * @param what - What will be so for ever, in one line.
 * @throws UsageError `TM_WRITE_CONSENT`; the signal's reason.
 */
export async function typedConfirmation(
  id: string,
  what: string,
  confirm: string | undefined,
  options: {
    readonly signal: AbortSignal;
    readonly undone: string;
    /** Whose id it is; default: that of the instance. */
    readonly what?: string;
  },
): Promise<void> {
  const answer = confirm ?? (await ask(what, options.what ?? 'instance', options.signal));
  if (answer.trim() === id) return;
  throw new UsageError('TM_WRITE_CONSENT', `${what}: this was not confirmed`, {
    hint: `${options.undone}; add --confirm ${id}`,
  });
}

async function ask(what: string, whose: string, signal: AbortSignal): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return '';
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(`${what}. Type the id of the ${whose} to go on: `, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  } finally {
    lines.close();
  }
}
