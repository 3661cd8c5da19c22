import { COMMANDS, type CommandBatch } from '@tidemark/aof';
import { ByteReader } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';

/** Upper bound of the content of the stats section, in bytes. */
export const STATS_BYTES_MAX = 65_536;

const NAMES_MAX = 128;
const NAME_BYTES_MAX = 64;
const OTHER = '(other)';

/** Number of commands by name, in lower case; what has no name of its own stands under `(other)`. */
export type CommandCounts = Readonly<Record<string, number>>;

/** Counts commands by name without making a string for known ones. */
export class StatsCounter {
  readonly #known = new Float64Array(COMMANDS.length);
  readonly #unknown = new Map<string, number>();

  add(batch: CommandBatch, row: number): void {
    const spec = batch.spec[row] as number;
    if (spec === 0) this.#addUnknown(commandName(batch, row));
    else this.#known[spec] = (this.#known[spec] ?? 0) + 1;
  }

  /** By name, in order of names. */
  counts(): CommandCounts {
    const counts = [...this.#unknown];
    for (const [spec, { name }] of COMMANDS.entries()) {
      const count = this.#known[spec] ?? 0;
      if (count > 0) counts.push([name, count]);
    }
    return Object.fromEntries(counts.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #addUnknown(name: string): void {
    const full = this.#unknown.size >= NAMES_MAX && !this.#unknown.has(name);
    const key = full ? OTHER : name;
    this.#unknown.set(key, (this.#unknown.get(key) ?? 0) + 1);
  }
}

/** A command's name in lower case, from the table or from its bytes. */
export function commandName(batch: CommandBatch, row: number): string {
  const known = COMMANDS[batch.spec[row] as number]?.name ?? '';
  if (known !== '') return known;
  const at = batch.argAt[row] as number;
  const start = batch.argStart[at] as number;
  const end = batch.argEnd[at] as number;
  if (start < 0 || batch.argc[row] === 0 || end - start > NAME_BYTES_MAX) return OTHER;
  const name = batch.data.toString('latin1', start, end).toLowerCase();
  return /^[!-~]+$/.test(name) ? name : OTHER;
}

/** @see docs/formats/segment.md, "Stats" */
export function encodeStats(counts: CommandCounts): Buffer {
  const writer = new ByteWriter(STATS_BYTES_MAX);
  for (const [name, count] of Object.entries(counts)) {
    writer.text(name);
    writer.varint(count);
  }
  return writer.take();
}

/** @throws FormatError `TM_SEGMENT_FORMAT`. */
export function decodeStats(bytes: Buffer): CommandCounts {
  const reader = new ByteReader(bytes, 'segment', 'stats');
  const counts = new Map<string, number>();
  while (reader.left > 0) {
    const name = reader.text(NAME_BYTES_MAX);
    if (counts.has(name)) reader.fail('a name stands twice');
    counts.set(name, reader.varint());
  }
  return Object.fromEntries(counts);
}
