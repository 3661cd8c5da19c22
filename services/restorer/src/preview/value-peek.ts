import type { NodeClient } from '@tidemark/client';
import { shownKey } from '@tidemark/selector';
import type { KeyState } from '../write-back/key-difference.ts';

/** Bytes of a string, or of one element, that are shown. */
const SHOWN_BYTES = 200;
/** Elements of a collection that are shown. */
const SHOWN_ELEMENTS = 5;
/** A collection over this is told by its length alone: even its first elements may be large. */
const PEEKED_BYTES_MAX = 8 * 1024 * 1024;

/**
 * The beginning of a value as text: 200 bytes of a string, five elements of a collection. Bytes that
 * are not text are escaped.
 * @param db - Database of the key; it is selected on the connection.
 * @throws NodeError when the server leaves or refuses.
 */
export async function peekValue(
  client: NodeClient,
  db: number,
  key: Buffer,
  { type, bytes }: KeyState,
): Promise<string | null> {
  const ask = async (...words: (string | number | Buffer)[]): Promise<unknown> => {
    const [selected, reply] = await client.pipelineBuffer([['SELECT', db], words]);
    for (const one of [selected, reply]) if (one instanceof Error) throw one;
    return reply;
  };
  if (type === 'string') {
    const length = Number(await ask('STRLEN', key));
    const text = await ask('GETRANGE', key, 0, SHOWN_BYTES - 1);
    return shown(text, length);
  }
  const length = LENGTH_OF[type];
  if (length === undefined) return null;
  const count = Number(await ask(length, key));
  if (bytes > PEEKED_BYTES_MAX) return `${count.toString()} elements`;
  const last = SHOWN_ELEMENTS - 1;
  switch (type) {
    case 'list':
      return elements(count, await ask('LRANGE', key, 0, last), 1);
    case 'zset':
      return elements(count, await ask('ZRANGE', key, 0, last, 'WITHSCORES'), 2);
    case 'stream':
      return entries(count, await ask('XRANGE', key, '-', '+', 'COUNT', SHOWN_ELEMENTS));
    case 'set':
      return elements(count, scanned(await ask('SSCAN', key, 0, 'COUNT', SHOWN_ELEMENTS)), 1);
    default:
      return elements(count, scanned(await ask('HSCAN', key, 0, 'COUNT', SHOWN_ELEMENTS)), 2);
  }
}

const LENGTH_OF: Readonly<Record<string, string>> = {
  list: 'LLEN',
  set: 'SCARD',
  zset: 'ZCARD',
  hash: 'HLEN',
  stream: 'XLEN',
};

function shown(reply: unknown, length: number): string {
  const bytes = Buffer.isBuffer(reply) ? reply : Buffer.alloc(0);
  const text = `"${shownKey(bytes, SHOWN_BYTES)}"`;
  return length > SHOWN_BYTES ? `${text}… (${length.toString()} bytes)` : text;
}

/** The elements of a page of a scan. */
function scanned(reply: unknown): unknown {
  return (reply as readonly unknown[])[1];
}

/** @param width - Words of the reply that make one element. */
function elements(count: number, reply: unknown, width: 1 | 2): string {
  const words = (reply as readonly Buffer[]).slice(0, SHOWN_ELEMENTS * width);
  const parts: string[] = [];
  for (let at = 0; at < words.length; at += width) {
    const pair = words.slice(at, at + width).map((word) => shown(word, word.length));
    parts.push(pair.join(': '));
  }
  return list(count, parts);
}

function entries(count: number, reply: unknown): string {
  const rows = reply as readonly (readonly [Buffer, readonly Buffer[]])[];
  return list(
    count,
    rows.map(([id, fields]) => {
      const words = fields.slice(0, SHOWN_ELEMENTS * 2).map((word) => shown(word, word.length));
      return `${id.toString()} ${words.join(' ')}`;
    }),
  );
}

function list(count: number, parts: readonly string[]): string {
  const more = count > parts.length ? `, … (${count.toString()} elements)` : '';
  return `[${parts.join(', ')}${more}]`;
}
