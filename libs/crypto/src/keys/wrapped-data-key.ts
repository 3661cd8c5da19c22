import { FormatError, isSafeName, KeyError, UsageError } from '@tidemark/core';
import type { KeyContext, KeyPurpose, WrappedDataKey } from './provider.ts';

const BYTES_MAX = 16_384;
const PURPOSES: readonly string[] = [
  'segments',
  'snapshot',
  'log',
  'canary',
  'undo',
] satisfies readonly KeyPurpose[];

type Fields = Readonly<Record<string, unknown>>;

/**
 * Encodes a wrapped data key in its one canonical form (docs/formats/wrapped-data-key.md).
 * @throws UsageError `TM_USAGE` when a field is outside its range.
 */
export function encodeWrappedDataKey(wrapped: WrappedDataKey): Buffer {
  const wrong = firstWrongField(wrapped);
  if (wrong !== null) {
    throw new UsageError('TM_USAGE', `field ${wrong} of a wrapped data key is not allowed`, {
      context: { field: wrong },
    });
  }
  const bytes = canonical(wrapped);
  if (bytes.length > BYTES_MAX) {
    throw new UsageError('TM_USAGE', `wrapped data key ${bytes.length} exceeds limit ${BYTES_MAX}`);
  }
  return bytes;
}

/**
 * Decodes a stored wrapped data key. Every encoding but the canonical one is refused, so that one
 * key has one digest. The context in it is for the reader's eye: opening takes it from the request.
 * @throws FormatError `TM_KEY_FORMAT`; `context.field` names the field where it can be told.
 */
export function parseWrappedDataKey(json: Uint8Array): WrappedDataKey {
  if (json.length > BYTES_MAX) throw refused(`size ${json.length} exceeds limit ${BYTES_MAX}`);
  const bytes = Buffer.from(json);
  const value = parseObject(bytes);
  const wrong = firstWrongField(value);
  if (wrong !== null) throw refused('a field is missing or not allowed', wrong);
  const wrapped = value as unknown as WrappedDataKey; // every field was checked just now
  if (!canonical(wrapped).equals(bytes)) throw refused('the encoding is not the canonical one');
  return wrapped;
}

/**
 * Checks a key context from a request.
 * @throws UsageError `TM_USAGE`.
 */
export function assertKeyContext(context: Omit<KeyContext, 'dekId'> & { dekId?: string }): void {
  const { instance, purpose, dekId } = context;
  if (isSafeName(instance) && PURPOSES.includes(purpose) && isHexId(dekId ?? '0'.repeat(32))) {
    return;
  }
  throw new UsageError('TM_USAGE', 'a key context with a field that is not allowed', {
    context: { instance, purpose, dekId: dekId ?? null },
  });
}

/**
 * Checks that a stored key says it is for what was asked for.
 * @throws KeyError `TM_KEY_WRONG` with the field that differs.
 */
export function assertSameContext(stored: KeyContext, asked: KeyContext): void {
  for (const field of ['instance', 'purpose', 'dekId'] as const) {
    if (stored[field] === asked[field]) continue;
    throw new KeyError('TM_KEY_WRONG', `the wrapped key is for another ${field}`, {
      context: { field, expected: asked[field], actual: stored[field] },
      hint: 'the stored key was moved or replaced; see "tidemark repo verify"',
    });
  }
}

function canonical(w: WrappedDataKey): Buffer {
  const { instance, purpose, dekId } = w.context;
  const ordered = {
    format: 1,
    provider: w.provider,
    keyId: w.keyId,
    keyVersion: w.keyVersion,
    wrapped: w.wrapped,
    context: { instance, purpose, dekId },
    createdMs: w.createdMs,
  };
  return Buffer.from(JSON.stringify(ordered) + '\n', 'utf8');
}

function parseObject(bytes: Buffer): Fields {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw refused('not JSON', undefined, cause);
  }
  if (!isObject(value)) throw refused('not a JSON object');
  return value;
}

function firstWrongField(value: object): string | null {
  const v: Fields = { ...value };
  const context: Fields = isObject(v['context']) ? v['context'] : {};
  const text = (field: unknown, form: RegExp): boolean =>
    typeof field === 'string' && form.test(field);
  const checks: readonly (readonly [string, boolean])[] = [
    ['format', v['format'] === 1],
    ['provider', text(v['provider'], /^[a-z][a-z0-9-]{0,31}$/)],
    ['keyId', text(v['keyId'], /^[!#-[\]-~]{1,2048}$/)],
    ['keyVersion', isCount(v['keyVersion'], 2 ** 31)],
    ['wrapped', isBase64(v['wrapped'])],
    ['createdMs', isCount(v['createdMs'], Number.MAX_SAFE_INTEGER)],
    [
      'context.instance',
      typeof context['instance'] === 'string' && isSafeName(context['instance']),
    ],
    ['context.purpose', PURPOSES.includes(String(context['purpose']))],
    ['context.dekId', isHexId(context['dekId'])],
  ];
  return checks.find(([, holds]) => !holds)?.[0] ?? null;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isHexId(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}

function isCount(value: unknown, max: number): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max;
}

function isBase64(value: unknown): boolean {
  if (typeof value !== 'string' || value.length === 0 || value.length > BYTES_MAX) return false;
  return Buffer.from(value, 'base64').toString('base64') === value;
}

function refused(message: string, field?: string, cause?: unknown): FormatError {
  return new FormatError('TM_KEY_FORMAT', `wrapped data key: ${message}`, {
    context: field === undefined ? {} : { field },
    hint: 'take another generation of this key; see "tidemark repo verify"',
    cause,
  });
}
