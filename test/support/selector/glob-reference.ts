const CLASS_END = 0x5d;

/**
 * Whether a glob fits, tried one way after the other: the rules of KEYS in their shortest form.
 * Takes powers of the length; for short texts only.
 */
export function globFits(pattern: Buffer, key: Buffer): boolean {
  if (pattern.length === 0) return key.length === 0;
  const [sign, rest] = [String.fromCharCode(pattern[0]!), pattern.subarray(1)];
  if (sign === '*')
    return globFits(rest, key) || (key.length > 0 && globFits(pattern, key.subarray(1)));
  if (key.length === 0) return false;
  const [byte, after] = [key[0]!, key.subarray(1)];
  if (sign === '?') return globFits(rest, after);
  if (sign === '[') {
    const { holds, next } = readClass(rest, byte);
    return holds && globFits(rest.subarray(next), after);
  }
  if (sign === '\\' && rest.length > 0) {
    return rest[0] === byte && globFits(rest.subarray(1), after);
  }
  return pattern[0] === byte && globFits(rest, after);
}

function readClass(text: Buffer, byte: number): { holds: boolean; next: number } {
  const negated = text[0] === 0x5e;
  let at = negated ? 1 : 0;
  let found = false;
  for (; at < text.length && text[at] !== CLASS_END; at += 1) {
    if (text[at] === 0x5c && at + 1 < text.length) {
      at += 1;
      found ||= text[at] === byte;
    } else if (text[at + 1] === 0x2d && at + 2 < text.length) {
      const ends = [text[at]!, text[at + 2]!];
      found ||= Math.min(...ends) <= byte && byte <= Math.max(...ends);
      at += 2;
    } else {
      found ||= text[at] === byte;
    }
  }
  return { holds: found !== negated, next: Math.min(at + 1, text.length) };
}
