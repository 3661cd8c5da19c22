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

/**
 * A compressed string whose block does not give exactly the bytes that it claims.
 *
 * A claim of none has words of its own: the decoder of the servers answers 0 when it fails, and
 * they compare that with the claim (Redis from 7.0, Valkey); whatever the block is, they load an
 * empty string. No server writes one: only strings of more than 20 bytes are compressed.
 */
export function notDecodable(offset: number, packed: number, plain: number): FormatError {
  const message =
    plain === 0
      ? `a compressed string of ${packed} bytes claims to stand for none`
      : 'a compressed string does not decode';
  return rdbFault('TM_RDB_STRING', message, offset);
}

/** `0x1c`: how a byte is named in messages. */
export const hexByte = (byte: number): string => `0x${byte.toString(16).padStart(2, '0')}`;
