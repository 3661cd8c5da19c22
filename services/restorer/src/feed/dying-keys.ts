import { visitExpiries, type CommandBatch } from '@tidemark/aof';
import type { ByteSource } from '@tidemark/core';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { commandSource } from './command-source.ts';
import { snapshotSource } from './snapshot-source.ts';
import { isEntry, RdbScanner, ROW, type RdbBatch } from '@tidemark/rdb';

/** Candidates that are kept of each database; the exact count comes from the target. */
const KEPT_MAX = 2_000;
const KEY_BYTES_MAX = 1_024;

/**
 * Notes keys that were given an expiry which has passed by now, so that the report can name some of
 * those that will vanish. They are candidates: the target is asked which of them it holds.
 */
export class DyingKeys {
  readonly #nowMs: number;
  readonly #byDb = new Map<number, Map<string, Buffer>>();

  /** @param nowMs - Unix milliseconds; what expires later is not noted. */
  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** Candidates of each database. */
  get candidates(): ReadonlyMap<number, readonly Buffer[]> {
    return new Map([...this.#byDb].map(([db, keys]) => [db, [...keys.values()]]));
  }

  /** Reads a whole plan for its candidates alone. */
  async collect(prepared: {
    readonly plan: RestorePlan;
    readonly reader: ObjectReader;
  }): Promise<void> {
    const { plan, reader } = prepared;
    await drain(this.tapRdb(snapshotSource(plan, reader, null)));
    const commands = commandSource(plan, reader, (batch) => this.noteCommands(batch), false);
    await drain(commands);
  }

  /** Passes an RDB through and notes its keys. */
  async *tapRdb(source: ByteSource): ByteSource {
    const scanner = new RdbScanner((batch) => this.#noteEntries(batch));
    for await (const part of source) {
      scanner.push(part);
      yield part;
    }
    scanner.end();
  }

  /** Notes the keys of a batch of commands. */
  noteCommands(batch: CommandBatch): void {
    visitExpiries(batch, (db, start, end, expiryMs) => {
      if (expiryMs <= this.#nowMs) this.#note(db, batch.data.subarray(start, end));
    });
  }

  #noteEntries(batch: RdbBatch): void {
    for (let row = 0; row < batch.count; row++) {
      if (((batch.flags[row] as number) & ROW.hasExpiry) === 0) continue;
      if ((batch.expiryMs[row] as number) > this.#nowMs || !isEntry(batch.type[row] as number))
        continue;
      this.#note(batch.db[row] as number, batch.keyOf(row));
    }
  }

  /** The latest ones are kept: those that expired long ago were deleted by the log itself. */
  #note(db: number, key: Buffer): void {
    if (key.length > KEY_BYTES_MAX) return;
    const keys = this.#byDb.get(db) ?? new Map<string, Buffer>();
    this.#byDb.set(db, keys);
    const name = key.toString('latin1');
    keys.delete(name);
    keys.set(name, Buffer.from(key));
    if (keys.size <= KEPT_MAX) return;
    const [oldest] = keys.keys();
    if (oldest !== undefined) keys.delete(oldest);
  }
}

async function drain(source: ByteSource): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}
