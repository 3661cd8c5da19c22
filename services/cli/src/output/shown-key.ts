/** Bytes of a key that are shown. */
const KEY_BYTES_SHOWN = 65_536;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');

/** Whether all is printable ASCII without a backslash: by far the most keys. */
function isPlain(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return false;
  }
  return true;
}

const escapeCharacter = (character: string): string =>
  character === '\\' ? '\\\\' : hexOf(Buffer.from(character));

/**
 * A key as one line of text from which its bytes can be told again: UTF-8 as it is, a backslash as
 * two, control characters, and all bytes of a key that is not UTF-8 except printable ASCII, as `\xHH`.
 * A key over 64 KiB is cut.
 */
export function shownKey(key: Buffer): string {
  const part = key.length > KEY_BYTES_SHOWN ? key.subarray(0, KEY_BYTES_SHOWN) : key;
  if (isPlain(part)) return part.toString('latin1');
  try {
    return decoder.decode(part).replace(/[\p{C}\p{Zl}\p{Zp}\\]/gu, escapeCharacter);
  } catch {
    return part
      .toString('latin1')
      .replace(/[^ -~]|\\/g, (character) =>
        character === '\\' ? '\\\\' : hexOf(Buffer.of(character.charCodeAt(0))),
      );
  }
}
