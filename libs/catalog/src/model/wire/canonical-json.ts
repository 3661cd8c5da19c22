/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  readonly [name: string]: Json;
}

/** Levels of arrays and objects; the deepest header of ours has five. */
const DEPTH_MAX = 12;

/**
 * A value, or bytes, that a durable record may not hold. Callers turn it into the typed error of
 * their format; it never leaves this package.
 */
export class WireFault extends Error {
  /** Where in the record, as `$.event.segment.end`. */
  readonly path: string;

  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`);
    this.name = 'WireFault';
    this.path = path;
  }
}

/**
 * The one text of a value: names sorted by code unit, no white space, whole numbers only.
 *
 * @throws WireFault for a number that is not a safe integer, a text that is not well formed, or
 *   more than twelve levels.
 */
export function canonicalJson(value: Json): string {
  return write(value, '$', 0);
}

/**
 * Reads canonical text. What it accepts, `canonicalJson` writes again byte by byte, so that a
 * record has one form only: no doubled names, no other number or escape forms.
 *
 * @throws WireFault when the bytes are not UTF-8, not JSON or not canonical.
 */
export function parseCanonicalJson(bytes: Uint8Array): Json {
  let value: Json;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text) as Json;
  } catch {
    throw new WireFault('$', 'not JSON in UTF-8');
  }
  if (canonicalJson(value) !== text) throw new WireFault('$', 'not in canonical form');
  return value;
}

/** Whether a value is a JSON object (not an array, not null). */
export function isJsonObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function write(value: Json, path: string, depth: number): string {
  if (depth > DEPTH_MAX) throw new WireFault(path, 'nested too deeply');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new WireFault(path, 'not a whole number');
    return Object.is(value, -0) ? '0' : String(value);
  }
  if (typeof value === 'string') return quote(value, path);
  if (isJsonObject(value)) {
    const names = Object.keys(value).sort();
    const parts = names.map((name) => {
      const inner = write(value[name] ?? null, `${path}.${name}`, depth + 1);
      return `${quote(name, path)}:${inner}`;
    });
    return `{${parts.join(',')}}`;
  }
  const parts = value.map((item, index) => write(item, `${path}[${index}]`, depth + 1));
  return `[${parts.join(',')}]`;
}

function quote(text: string, path: string): string {
  // A lone surrogate has no UTF-8 form: it would come back as another text.
  if (/\p{Surrogate}/u.test(text)) throw new WireFault(path, 'a text that is not well formed');
  return JSON.stringify(text);
}
