import {
  KEY_EFFECT,
  swappedDatabases,
  visitKeys,
  type CommandBatch,
  type KeyEffect,
} from '@tidemark/aof';
import { ByteWriter } from '../frames/byte-writer.ts';
import {
  FLAG_DB,
  FLAG_READ,
  FLAG_WRITE,
  FLOW_BYTES_MAX,
  FLOW_EFFECTS,
  FLOW_KEY_MAX,
  FLOW_KEYS_MAX,
  FLOW_NAMES_MAX,
  type FlowEffect,
} from './flow.ts';
import { commandName } from './stats.ts';

const EFFECTS: Readonly<Record<KeyEffect, FlowEffect | null>> = {
  [KEY_EFFECT.none]: null,
  [KEY_EFFECT.single]: null,
  [KEY_EFFECT.multi]: 'keys',
  [KEY_EFFECT.flushDb]: 'flush-db',
  [KEY_EFFECT.flushAll]: 'flush-all',
  [KEY_EFFECT.swapDb]: 'swap-db',
  [KEY_EFFECT.functions]: 'functions',
  [KEY_EFFECT.slots]: 'slots',
  [KEY_EFFECT.unknown]: 'unknown',
};

interface KeyPlace {
  readonly db: number;
  readonly start: number;
  readonly end: number;
  readonly flags: number;
}

/** Collects the flow section of a segment in bounded memory. */
export class FlowWriter {
  readonly #names = new Map<string, number>();
  #writer: ByteWriter;
  #complete = true;
  #before = 0;
  #key: Buffer = Buffer.alloc(0);
  #keyCount = 0;

  constructor(bytesMax: number = FLOW_BYTES_MAX) {
    this.#writer = new ByteWriter(bytesMax);
    this.#writer.u8(1);
  }

  /** Whether everything fitted so far. */
  get complete(): boolean {
    return this.#complete;
  }

  /**
   * Adds command `row` if it has more than one key or reaches what it does not name.
   * @param start - Its first byte, relative to the segment's start.
   * @param effect - What `visitKeys` said of it.
   */
  add(batch: CommandBatch, row: number, start: number, effect: KeyEffect): void {
    const known = EFFECTS[effect];
    if (known === null || !this.#complete) return;
    const { keys, named } = this.#keysOf(batch, row);
    const writer = this.#writer;
    writer.signed(start - this.#before);
    this.#before = start;
    writer.u8(FLOW_EFFECTS.indexOf(named ? known : 'unknown'));
    this.#writeName(commandName(batch, row));
    writer.signed(batch.db[row] as number);
    if (named && known === 'swap-db') {
      const swapped = swappedDatabases(batch, row);
      writer.varint(swapped?.first ?? 0);
      writer.varint(swapped?.second ?? 0);
    }
    writer.varint(keys.length);
    for (const key of keys) this.#writeKey(batch.data, key);
    this.#keyCount += keys.length;
    if (!writer.overflowed && this.#keyCount <= FLOW_KEYS_MAX) return;
    this.#complete = false;
    this.#writer = new ByteWriter(0);
  }

  /** The section's content. */
  finish(): Buffer {
    return this.#complete ? this.#writer.take() : Buffer.of(0);
  }

  /** The keys of a command; `named` is false when one is too long to be listed. */
  #keysOf(batch: CommandBatch, row: number): { keys: readonly KeyPlace[]; named: boolean } {
    const commandDb = batch.db[row] as number;
    const keys: KeyPlace[] = [];
    let named = true;
    visitKeys(batch, row, (db, start, end, write, read) => {
      if (end - start > FLOW_KEY_MAX) named = false;
      else if (keys.length <= FLOW_KEYS_MAX) {
        const use = (read ? FLAG_READ : 0) | (write ? FLAG_WRITE : 0);
        keys.push({ db, start, end, flags: use | (db === commandDb ? 0 : FLAG_DB) });
      }
    });
    return { keys, named };
  }

  #writeName(name: string): void {
    const index = this.#names.get(name);
    this.#writer.varint(index ?? 0);
    if (index !== undefined) return;
    this.#writer.text(name);
    if (this.#names.size < FLOW_NAMES_MAX) this.#names.set(name, this.#names.size + 1);
  }

  #writeKey(data: Buffer, place: KeyPlace): void {
    const key = data.subarray(place.start, place.end);
    const most = Math.min(key.length, this.#key.length);
    let shared = 0;
    while (shared < most && key[shared] === this.#key[shared]) shared++;
    this.#writer.u8(place.flags);
    if ((place.flags & FLAG_DB) !== 0) this.#writer.signed(place.db);
    this.#writer.varint(shared);
    this.#writer.varint(key.length - shared);
    this.#writer.bytes(key, shared);
    this.#key = Buffer.from(key);
  }
}
