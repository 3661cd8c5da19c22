import { type ErrorCode, type ErrorContext, FormatError } from '@tidemark/core';

/** A fault of an RDB at a byte offset. */
export function rdbFault(
  code: ErrorCode,
  message: string,
  offset: number,
  more: { readonly context?: ErrorContext; readonly hint?: string } = {},
): FormatError {
  const context = { offset, ...more.context };
  return new FormatError(
    code,
    message,
    more.hint === undefined ? { context } : { context, hint: more.hint },
  );
}

/** `0x1c`: how a byte is named in messages. */
export const hexByte = (byte: number): string => `0x${byte.toString(16).padStart(2, '0')}`;
