import type { UsageError } from '@tidemark/core';

/**
 * Undoes percent escapes of a part of an address.
 * @param refused - Makes the error; the text is not repeated in it, for it may be a password.
 * @throws UsageError What `refused` makes, when a percent sign is not an escape.
 */
export function percentDecode(text: string, refused: (why: string) => UsageError): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused('holds a percent sign that is not an escape');
  }
}
