import { ByteReader } from '../frames/byte-reader.ts';

/** Upper bound of the content of a flow section, in bytes, and of the keys in it. */
export const FLOW_BYTES_MAX = 8 * 1_048_576;
export const FLOW_KEYS_MAX = 262_144;

/** Longest key in a flow section; a command with a longer one may reach everything. */
export const FLOW_KEY_MAX = 65_536;

const FLOW_NAME_MAX = 64;

/** Most command names that are numbered; further ones are written out each time. */
export const FLOW_NAMES_MAX = 256;

export const FLAG_READ = 1;
export const FLAG_WRITE = 2;
export const FLAG_DB = 4;

/** What a command of the flow section can reach; the number in the format is the place here. */
export const FLOW_EFFECTS = [
  /** The listed keys and nothing else. */
  'keys',
  /** All keys of its database. */
  'flush-db',
  /** All keys. */
  'flush-all',
  /** Two databases change places. */
  'swap-db',
  /** Function or script libraries, no key. */
  'functions',
  /** Hash slots or the slot map. */
  'slots',
  /** Anything; the listed keys are among it. */
  'unknown',
] as const;

/** One of `FLOW_EFFECTS`. */
export type FlowEffect = (typeof FLOW_EFFECTS)[number];

/** A key that a command reads, writes, or both. */
export interface FlowKey {
  readonly db: number;
  readonly key: Buffer;
  readonly read: boolean;
  readonly write: boolean;
}

/** A command through which data can flow from one key to another, or which reaches many. */
export interface FlowEntry {
  /** Offset of its first byte; it may lie before the segment, in which the command ends. */
  readonly offset: bigint;
  /** Lower case. */
  readonly command: string;
  readonly effect: FlowEffect;
  /** Database it runs in. */
  readonly db: number;
  readonly keys: readonly FlowKey[];
  /** The two databases of `swap-db`. */
  readonly swapped: { readonly first: number; readonly second: number } | null;
}

/** The flow section of a segment. */
export interface Flow {
  /** False = there were too many: any command of the segment may reach anything. */
  readonly complete: boolean;
  /** In offset order; empty when not complete. */
  readonly entries: readonly FlowEntry[];
}

/**
 * Decodes a flow section.
 * @param start - Offset of the segment's first byte.
 * @throws FormatError `TM_SEGMENT_FORMAT`.
 * @see docs/formats/segment.md, "Flow"
 */
export function decodeFlow(bytes: Buffer, start: bigint): Flow {
  const reader = new ByteReader(bytes, 'segment', 'flow');
  const complete = reader.count(1, 'flags') === 1;
  const state: DecodeState = { reader, names: [], key: Buffer.alloc(0), keys: 0 };
  const entries: FlowEntry[] = [];
  let offset = start;
  while (reader.left > 0) {
    offset += BigInt(reader.signed());
    const effect = FLOW_EFFECTS[reader.u8()] ?? reader.fail('an effect that is not known');
    const command = readName(state);
    const db = reader.signed();
    const swapped =
      effect === 'swap-db' ? { first: reader.varint(), second: reader.varint() } : null;
    const count = reader.varint();
    const keys: FlowKey[] = [];
    for (let i = 0; i < count; i++) keys.push(readKey(state, db));
    entries.push({ offset, command, effect, db, keys, swapped });
  }
  return { complete, entries };
}

interface DecodeState {
  readonly reader: ByteReader;
  readonly names: string[];
  /** The key read before. */
  key: Buffer;
  keys: number;
}

function readName({ reader, names }: DecodeState): string {
  const index = reader.varint();
  if (index > 0) return names[index - 1] ?? reader.fail(`name ${index} does not exist`);
  const name = reader.text(FLOW_NAME_MAX);
  if (names.length < FLOW_NAMES_MAX) names.push(name);
  return name;
}

function readKey(state: DecodeState, commandDb: number): FlowKey {
  const { reader } = state;
  if (++state.keys > FLOW_KEYS_MAX) reader.fail(`more than ${FLOW_KEYS_MAX} keys`);
  const flags = reader.u8();
  if (flags > (FLAG_READ | FLAG_WRITE | FLAG_DB)) reader.fail(`flags ${flags} are not known`);
  const db = (flags & FLAG_DB) === 0 ? commandDb : reader.signed();
  const shared = reader.count(state.key.length, 'shared bytes');
  const rest = reader.bytes(reader.count(FLOW_KEY_MAX - shared, 'key length'));
  const key = Buffer.concat([state.key.subarray(0, shared), rest]);
  state.key = key;
  return { db, key, read: (flags & FLAG_READ) !== 0, write: (flags & FLAG_WRITE) !== 0 };
}
