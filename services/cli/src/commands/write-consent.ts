import { createInterface } from 'node:readline/promises';
import { UsageError } from '@tidemark/core';

/**
 * Makes sure that writing into a running instance is meant: by `--yes`, or by the id of the instance
 * typed on the terminal.
 * @param what - What will be done, in one line.
 * @throws UsageError `TM_WRITE_CONSENT`; the signal's reason.
 */
export async function askConsent(
  id: string,
  what: string,
  options: { readonly yes: boolean; readonly signal: AbortSignal },
): Promise<void> {
  if (options.yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError('TM_WRITE_CONSENT', `${what}: this was not confirmed`, {
      hint: 'look first (--dry-run), then add --yes',
    });
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  let answer: string;
  try {
    const { signal } = options;
    answer = await lines.question(`${what}. Type the id of the instance to go on: `, { signal });
  } catch (cause) {
    options.signal.throwIfAborted();
    throw cause;
  } finally {
    lines.close();
  }
  if (answer.trim() === id) return;
  throw new UsageError('TM_WRITE_CONSENT', `that is not ${id}: nothing was written`);
}
