import { KeyError, TidemarkError, type Random } from '@tidemark/core';
import { CHUNK_LOG2_MIN, COMPRESSION, OBJECT_KIND } from '../container/constants.ts';
import type { Identity } from '../container/identity.ts';
import type { DataKey } from '../container/key-schedule.ts';
import { openBytes, sealBytes } from '../container/streams.ts';

/** Largest container of a wrapped key that is opened. */
const WRAPPED_BYTES_MAX = 8192;

/**
 * Wraps a key of 32 bytes: a sealed container of kind `wrappedKey` with one chunk, so that there
 * is one scheme with commitment and context binding and no second one.
 * @returns Base64.
 */
export function wrapKey(
  key: Buffer,
  o: { readonly under: DataKey; readonly identity: Identity; readonly random: Random },
): string {
  return sealBytes(key, {
    dataKey: o.under,
    kind: OBJECT_KIND.wrappedKey,
    compression: COMPRESSION.none,
    identity: o.identity,
    random: o.random,
    chunkLog2: CHUNK_LOG2_MIN,
  }).bytes.toString('base64');
}

/**
 * Opens what {@link wrapKey} made.
 * @throws KeyError `TM_KEY_WRONG` whatever does not hold; the cause says what.
 */
export function unwrapKey(
  wrapped: string,
  o: { readonly under: DataKey; readonly identity: Identity },
): Buffer {
  const sealed = Buffer.from(wrapped, 'base64');
  try {
    if (sealed.length > WRAPPED_BYTES_MAX) throw wrong('is too large');
    const key = openBytes(sealed, {
      keyOf: () => o.under,
      kind: OBJECT_KIND.wrappedKey,
      identity: o.identity,
    });
    if (key.length === 32) return key;
    key.fill(0);
    throw wrong(`holds ${key.length} bytes, not 32`);
  } catch (cause) {
    if (cause instanceof KeyError || !(cause instanceof TidemarkError)) throw cause;
    throw wrong('does not open with this key ring', cause);
  }
}

function wrong(what: string, cause?: TidemarkError): KeyError {
  return new KeyError('TM_KEY_WRONG', `the wrapped key ${what}`, {
    context: cause === undefined ? {} : { cause: cause.code },
    hint: 'it was changed, or belongs to another instance, purpose or key ring',
    cause,
  });
}
