/** A key as text: bytes that are not printable ASCII as `\xNN`. */
export function printableKey(key: Buffer): string {
  let text = '';
  for (const byte of key) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}
