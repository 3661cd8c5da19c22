import { type ErrorContext, FormatError } from '@tidemark/core';
import type { Steps } from '../scan/cursor.ts';
import type { ConvertValue } from './value-converter.ts';

/** A conversion whose faults say to which entry they belong. */
export const namingEntry = (
  convert: ConvertValue,
  entry: { readonly db: number; readonly type: number; readonly entryOffset: number },
): ConvertValue =>
  function* named(cursor): Steps<void> {
    try {
      yield* convert(cursor);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      const context: ErrorContext = { ...cause.context, ...entry };
      throw new FormatError(cause.code, cause.message, { context, cause });
    }
  };
