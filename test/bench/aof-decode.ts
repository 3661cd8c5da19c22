import { CommandDecoder } from '@tidemark/aof';
import { chunksOf, touch } from './setup/byte-loop.ts';
import { median } from './setup/process-facts.ts';

const COMMANDS_MIN = 2_000_000;
const STREAM_COMMANDS = 400_000;
const ROUNDS = 7;

function encode(...args: readonly string[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
  return text;
}

/**
 * A log as a busy instance writes it: plain and expiring SETs of 64-byte values, counters, hash and
 * list writes, deletes; an annotation every 10,000 commands.
 */
function buildChunks(): { chunks: Buffer[]; bytes: number } {
  const value = 'v'.repeat(64);
  const parts: Buffer[] = [];
  let text = encode('SELECT', '0');
  for (let index = 1; index < STREAM_COMMANDS; index += 1) {
    const id = String(index * 7919).padStart(10, '0');
    if (index % 10_000 === 0) text += `#TS:${1_750_000_000 + index / 10_000}\r\n`;
    const kind = index % 8;
    if (kind < 3) text += encode('SET', `session:${id}`, value);
    else if (kind === 3) text += encode('SET', `cache:${id}`, value, 'PXAT', '1750000000123');
    else if (kind === 4) text += encode('INCRBY', `count:${id}`, '12');
    else if (kind === 5) text += encode('HSET', `user:${id}`, 'name', 'someone', 'seen', id);
    else if (kind === 6) text += encode('RPUSH', `queue:${id}`, value);
    else text += encode('DEL', `session:${id}`);
    if (text.length > 1024 * 1024) {
      parts.push(Buffer.from(text, 'latin1'));
      text = '';
    }
  }
  parts.push(Buffer.from(text, 'latin1'));
  const all = Buffer.concat(parts);
  return { chunks: chunksOf(all), bytes: all.length };
}

function decode(chunks: readonly Buffer[]): number {
  const decoder = new CommandDecoder();
  let count = 0;
  for (const chunk of chunks) {
    for (const batch of decoder.push(chunk)) count += batch.count;
  }
  decoder.end();
  return count;
}

/**
 * Speed of `CommandDecoder` over that of a bare loop that touches every byte of the same buffers:
 * interleaved rounds of at least two million commands in all, medians.
 */
export async function benchAofDecode(): Promise<{ ratio: number; of: string; detail: string }> {
  const { chunks, bytes } = await Promise.resolve(buildChunks());
  const touchMs: number[] = [];
  const decodeMs: number[] = [];
  let commands = 0;
  let sum = touch(chunks) + decode(chunks); // both compiled before the first round
  for (let round = 0; round < ROUNDS || commands < COMMANDS_MIN; round += 1) {
    const start = performance.now();
    sum += touch(chunks);
    const middle = performance.now();
    commands += decode(chunks);
    decodeMs.push(performance.now() - middle);
    touchMs.push(middle - start);
  }
  const rate = (ms: number): string => (bytes / 1e6 / (ms / 1000)).toFixed(0);
  const per = ((median(decodeMs) * 1e6) / STREAM_COMMANDS).toFixed(0);
  return {
    ratio: median(touchMs) / median(decodeMs),
    of: 'a bare loop over every byte of the same buffers',
    detail:
      `${commands} commands of ${(bytes / STREAM_COMMANDS).toFixed(0)} bytes on average: ` +
      `${rate(median(decodeMs))} MB/s (${per} ns each), bare loop ` +
      `${rate(median(touchMs))} MB/s (sum ${sum})`,
  };
}
