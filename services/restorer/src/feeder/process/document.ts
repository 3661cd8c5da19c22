import { TidemarkError } from '@tidemark/core';

/** A document is one line; longer ones are refused on both sides of a pipe. */
export const DOCUMENT_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Writes plain data as one line of JSON. What JSON has no form for is an object with one field:
 * `$bigint`, `$bytes` (base64), `$map` (pairs), `$set`; an object of which a name begins with `$`
 * becomes `$object` (pairs).
 * @throws TidemarkError `TM_LIMIT` when the line is too long.
 */
export function encodeDocument(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value, replace);
  } catch (cause) {
    // V8 has no longer strings.
    if (cause instanceof RangeError) throw tooLong(cause);
    throw cause;
  }
  if (text.length > DOCUMENT_BYTES_MAX) throw tooLong();
  return `${text}\n`;
}

/**
 * Reads what `encodeDocument` wrote.
 * @throws SyntaxError for what is no JSON.
 */
export function decodeDocument(text: string): unknown {
  return JSON.parse(text, revive) as unknown;
}

function replace(this: unknown, name: string, value: unknown): unknown {
  // A buffer was asked for its `toJSON` by now: it is looked up where it stands.
  const raw = (this as Readonly<Record<string, unknown>>)[name];
  if (typeof raw === 'bigint') return { $bigint: raw.toString() };
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return value;
  if (Buffer.isBuffer(raw)) return { $bytes: raw.toString('base64') };
  if (raw instanceof Map) return { $map: [...(raw as ReadonlyMap<unknown, unknown>)] };
  if (raw instanceof Set) return { $set: [...(raw as ReadonlySet<unknown>)] };
  if (raw !== value) return value;
  for (const field in raw) {
    if (field.startsWith('$')) return { $object: Object.entries(raw) };
  }
  return value;
}

function revive(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  for (const field in value) {
    // One of ours has a single name: the first one tells.
    if (!field.startsWith('$')) return value;
    const held = (value as Readonly<Record<string, unknown>>)[field];
    switch (field) {
      case '$bigint':
        return BigInt(String(held));
      case '$bytes':
        return Buffer.from(String(held), 'base64');
      case '$map':
        return new Map(held as [unknown, unknown][]);
      case '$set':
        return new Set(held as unknown[]);
      case '$object':
        return Object.fromEntries(held as [string, unknown][]);
    }
  }
  return value;
}

function tooLong(cause?: unknown): TidemarkError {
  return new TidemarkError('TM_LIMIT', 'a document for the feeding process is too long', {
    context: { bytesMax: DOCUMENT_BYTES_MAX },
    hint: 'restore to a point nearer to a backup: what is replayed after it is in the document',
    cause,
  });
}
