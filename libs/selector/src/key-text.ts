import { syntaxError } from './syntax-error.ts';

const BACKSLASH = 0x5c;
const NAMED: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, '\\': BACKSLASH };
/** Bytes of a key that are shown. */
const KEY_BYTES_SHOWN = 65_536;

/**
 * The key that a text stands for: its bytes, with the escapes `\xHH`, `\n`, `\r`, `\t` and `\\`.
 * @param line - The line of a file that it stands in, for the error.
 * @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position, line) for any other backslash.
 */
export function keyOfText(text: string | Buffer, line?: number): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  let from = bytes.indexOf(BACKSLASH);
  if (from === -1) return bytes;
  const key = Buffer.allocUnsafe(bytes.length);
  let length = bytes.copy(key, 0, 0, from);
  while (from < bytes.length) {
    if (bytes[from] !== BACKSLASH) {
      key[length] = bytes[from] as number;
      from += 1;
    } else {
      const sign = String.fromCharCode(bytes[from + 1] ?? 0);
      const digits = sign === 'x' ? bytes.toString('latin1', from + 2, from + 4) : '';
      const isHex = /^[0-9A-Fa-f]{2}$/.test(digits);
      const named = isHex ? Number.parseInt(digits, 16) : NAMED[sign];
      if (named === undefined) throw badEscape(bytes, from, line);
      key[length] = named;
      from += isHex ? 4 : 2;
    }
    length += 1;
  }
  return key.subarray(0, length);
}

function badEscape(bytes: Buffer, at: number, line: number | undefined): Error {
  return syntaxError({
    kind: 'key',
    text: bytes.toString('utf8', 0, Math.min(bytes.length, 1_024)),
    position: Array.from(bytes.toString('utf8', 0, at)).length,
    what: 'a backslash that is no escape',
    hint: 'the escapes are \\xHH (two hexadecimal digits), \\n, \\r, \\t and \\\\ for a backslash',
    ...(line === undefined ? {} : { line }),
  });
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');

/** Whether all is printable ASCII without a backslash: by far the most keys. */
function isPlain(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e || byte === BACKSLASH) return false;
  }
  return true;
}

const escapeCharacter = (character: string): string =>
  character === '\\' ? '\\\\' : hexOf(Buffer.from(character));

/**
 * A key as one line of text from which its bytes can be told again ({@link keyOfText}): UTF-8 as it
 * is, a backslash as two, control characters, and all bytes of a key that is not UTF-8 except
 * printable ASCII, as `\xHH`. A longer key is cut.
 * @param bytesMax - Bytes of the key that are shown.
 */
export function shownKey(key: Buffer, bytesMax: number = KEY_BYTES_SHOWN): string {
  const part = key.length > bytesMax ? key.subarray(0, bytesMax) : key;
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
