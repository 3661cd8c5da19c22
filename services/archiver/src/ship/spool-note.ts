import { decodeWriterEvent, encodeWriterEvent, type WriterEvent } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';

/** What is to be logged of an entry of the spool, and what has to be in the store before that. */
export interface SpoolNote {
  readonly event: WriterEvent;
  /** The wrapped data key that the object is sealed with; null when the store has it already. */
  readonly wrapped: Buffer | null;
}

/** As JSON text. Holds nothing that is secret: the data key is wrapped. */
export function encodeSpoolNote({ event, wrapped }: SpoolNote): string {
  return JSON.stringify({
    event: encodeWriterEvent(event).toString('utf8'),
    wrapped: wrapped?.toString('base64') ?? null,
  });
}

/** What a note says; null when the disk did not keep it. A bare event is the form of before. */
export function decodeSpoolNote(text: string): SpoolNote | null {
  try {
    const note: unknown = JSON.parse(text);
    if (typeof note !== 'object' || note === null) return null;
    const { event = text, wrapped = null } = note as Record<string, unknown>;
    if (typeof event !== 'string') return null;
    if (wrapped !== null && typeof wrapped !== 'string') return null;
    return {
      event: decodeWriterEvent(Buffer.from(event, 'utf8')),
      wrapped: wrapped === null ? null : Buffer.from(wrapped, 'base64'),
    };
  } catch (cause) {
    if (cause instanceof TidemarkError || cause instanceof SyntaxError) return null;
    throw cause;
  }
}
