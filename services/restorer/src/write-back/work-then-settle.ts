import type { KeyWriter } from './write/key-writer.ts';

/**
 * Does the work and settles the writer in any case, so that what is written is known and can be
 * undone.
 * @returns The error that ended the work; null when it came to its end.
 */
export async function workThenSettle(
  writer: Pick<KeyWriter, 'settle'>,
  work: () => Promise<void>,
): Promise<Error | null> {
  let failure: Error | null = null;
  try {
    await work();
  } catch (cause) {
    failure = asError(cause);
  }
  try {
    await writer.settle();
  } catch (cause) {
    failure ??= asError(cause);
  }
  return failure;
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error('the work ended', { cause });
}
