import { UsageError } from '@tidemark/core';
import type { RestoreRequest } from '@tidemark/restorer';

/**
 * Reads `--skip`: offsets of commands to be left out, one, or the first and the last.
 * @throws UsageError `TM_USAGE`.
 */
export function skipOf(text: string | undefined): NonNullable<RestoreRequest['skip']> | null {
  if (text === undefined) return null;
  const [, from = '', to = from] = /^(\d{1,19})(?:\.\.(\d{1,19}))?$/.exec(text) ?? [];
  if (from !== '' && BigInt(to) >= BigInt(from)) return { from: BigInt(from), to: BigInt(to) };
  throw new UsageError('TM_USAGE', `${JSON.stringify(text)} names no command to be left out`, {
    hint: '--skip OFFSET or --skip OFFSET..OFFSET; tidemark find tells offsets',
  });
}
