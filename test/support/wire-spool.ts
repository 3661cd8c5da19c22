import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemRandom } from '@tidemark/system';
import { WireSpool, type WireSpoolOptions } from '../../services/archiver/src/wire/wire-spool.ts';
import type { WireItem, WireReader } from '../../services/archiver/src/wire/wire-types.ts';
import { patternBytes } from './pattern.ts';

/** The local spool key of the tests. */
export const WIRE_KEY = { id: '0f'.repeat(16), key: patternBytes(32, 5) };
export const REPLID_A = 'a'.repeat(40);
export const REPLID_B = 'b'.repeat(40);

/** Opens a spool of the tests. */
export function openWire(dir: string, more: Partial<WireSpoolOptions> = {}): Promise<WireSpool> {
  const bytesMax = 2 ** 30;
  return WireSpool.open({
    dir,
    key: WIRE_KEY,
    writer: 'w-1',
    bytesMax,
    random: systemRandom,
    ...more,
  });
}

/** Begins a history with a small snapshot. */
export async function syncWire(
  spool: WireSpool,
  { seq = 0, replid = REPLID_A, offset = 100n, rdb = 'snapshot' } = {},
): Promise<string> {
  const { ino } = await spool.beginSync({ seq, replid, offset });
  await spool.appendSnapshot(Buffer.from(rdb));
  await spool.endSnapshot();
  return ino;
}

/**
 * Reads until there is nothing more, and puts bytes that follow each other together. A reader that was
 * at the end before waits for something new first.
 */
export async function readAll(reader: WireReader): Promise<readonly WireItem[]> {
  const items: WireItem[] = [];
  const signal = AbortSignal.timeout(60_000);
  for (;;) {
    const item = await reader.next(signal);
    if (item.kind === 'idle') return items;
    const last = items.at(-1);
    if (item.kind !== 'bytes' || last?.kind !== 'bytes') items.push(item);
    else items[items.length - 1] = { ...last, data: Buffer.concat([last.data, item.data]) };
  }
}

/** Items in short: bytes as text. */
export function inShort(items: readonly WireItem[]): readonly string[] {
  return items.map((item) => {
    switch (item.kind) {
      case 'history':
        return `history ${item.history.seq} ${item.history.replid[0]} at ${item.position}`;
      case 'renamed':
        return `renamed ${item.replid[0]} at ${item.position}`;
      case 'bytes':
        return `${item.data.toString('latin1')} after ${item.position}`;
      case 'idle':
        return 'idle';
    }
  });
}

/** All stream bytes among some items. */
export function bytesAmong(items: readonly WireItem[]): Buffer {
  return Buffer.concat(items.map((item) => (item.kind === 'bytes' ? item.data : Buffer.alloc(0))));
}

/** Files of a kind in the folder, in order. */
export async function wireFiles(dir: string, kind: string): Promise<readonly string[]> {
  const names = (await readdir(dir)).sort();
  return names.filter((name) => name.endsWith(`.${kind}`)).map((name) => join(dir, name));
}

/** Changes a file as a crash or a disk may: cuts it, or changes one of its bytes. */
export async function harm(path: string, what: 'cut' | 'flip' | 'grow', at: number): Promise<void> {
  if (what === 'grow') return appendFile(path, patternBytes(at + 1, 99));
  const bytes = await readFile(path);
  const place = at % bytes.length;
  if (what === 'flip') bytes.writeUInt8(bytes.at(place)! ^ 0x40, place);
  await writeFile(path, what === 'cut' ? bytes.subarray(0, place) : bytes);
}
