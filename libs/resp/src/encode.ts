const CRLF = Buffer.from('\r\n');

/** One argument of a command: text is sent as UTF-8, numbers and bigints in decimal. */
export type CommandArgument = string | Uint8Array | number | bigint;

const bytesOfArgument = (argument: CommandArgument): Uint8Array =>
  argument instanceof Uint8Array ? argument : Buffer.from(String(argument));

/**
 * Encodes a command as an array of bulk strings, the only request form of a replication link.
 * @see redis.io "Redis serialization protocol specification", RESP2
 */
export function encodeCommand(args: readonly CommandArgument[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${String(args.length)}\r\n`)];
  for (const argument of args) {
    const bytes = bytesOfArgument(argument);
    parts.push(Buffer.from(`$${String(bytes.length)}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(parts);
}

/** Text of one reply line: CR and LF would end the line, so they become spaces. */
const lineText = (text: string): string => text.replaceAll(/[\r\n]/g, ' ');

/** `+text`. Line breaks in the text become spaces. */
export function encodeSimple(text: string): Buffer {
  return Buffer.from(`+${lineText(text)}\r\n`);
}

/** `-CODE message`. Line breaks in the text become spaces. */
export function encodeError(text: string): Buffer {
  return Buffer.from(`-${lineText(text)}\r\n`);
}

/** `:number`. */
export function encodeInteger(value: number | bigint): Buffer {
  return Buffer.from(`:${String(value)}\r\n`);
}

/** `$length` and the bytes; `null` is the null bulk string. */
export function encodeBulk(value: string | Uint8Array | null): Buffer {
  if (value === null) return Buffer.from('$-1\r\n');
  const bytes = bytesOfArgument(value);
  return Buffer.concat([Buffer.from(`$${String(bytes.length)}\r\n`), bytes, CRLF]);
}
