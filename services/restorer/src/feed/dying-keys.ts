import { COMMANDS, KEY_EFFECT, KEY_RULE, visitExpiries, visitKeys } from '@tidemark/aof';
import type { CommandBatch, KeyRule } from '@tidemark/aof';
import type { ByteSource } from '@tidemark/core';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { newExpiry, type TtlRule } from '../plan/ttl-rule.ts';
import { watchCommands } from './command-source.ts';
import { snapshotSource } from './snapshot-source.ts';
import { isEntry, RdbScanner, ROW, type RdbBatch } from '@tidemark/rdb';

/** Candidates that are kept of each database, and bytes of their names in all. */
const KEPT_MAX = 20_000;
const KEPT_BYTES_MAX = 8 * 1024 * 1024;
const KEY_BYTES_MAX = 1_024;

/** What a command can do to the expiry of a key that it does not name an expiry for. */
const MOVE = { none: 0, toVisited: 1, anywhere: 2 } as const;
const MOVING_RULES: readonly KeyRule[] = [
  KEY_RULE.rename,
  KEY_RULE.renameNx,
  KEY_RULE.copy,
  KEY_RULE.move,
];
const OPAQUE_RULES: readonly KeyRule[] = [KEY_RULE.opaque, KEY_RULE.script, KEY_RULE.swapDb];
const MOVE_OF_SPEC = Uint8Array.from(COMMANDS, ({ keys }) => {
  if (OPAQUE_RULES.includes(keys)) return MOVE.anywhere;
  return MOVING_RULES.includes(keys) ? MOVE.toVisited : MOVE.none;
});

/** What was noted, as plain data for another process. */
export interface DyingKeysState {
  readonly untilMs: number;
  readonly ttl: TtlRule;
  /** By database, in the order of their last expiries: names as base64; null = NaN. */
  readonly keys: readonly (readonly [
    db: number,
    keys: readonly (readonly [name: string, expiryMs: number | null])[],
  ])[];
  readonly lost: boolean;
  readonly snapshotSeen: boolean;
}

/**
 * Notes keys that are given an expiry, by the TTL rule, which has passed by now: those that will
 * vanish are among them. They are candidates, the target is asked which of them it holds.
 *
 * Memory is bounded: of too many the latest are kept, and `all` then answers null.
 */
export class DyingKeys {
  readonly #untilMs: number;
  readonly #ttl: TtlRule;
  /** By database, names as latin1: the expiry given last; NaN = one that came along with a move. */
  readonly #byDb = new Map<number, Map<string, number>>();
  #bytes = 0;
  #lost = false;
  #snapshotSeen = false;

  /**
   * @param untilMs - Unix milliseconds; what expires later is not noted.
   * @param ttl - What becomes of the expiries of commands; those of an RDB have become it.
   */
  constructor(untilMs: number, ttl: TtlRule) {
    this.#untilMs = untilMs;
    this.#ttl = ttl;
  }

  /** What another process has noted. */
  static from({ untilMs, ttl, keys, lost, snapshotSeen }: DyingKeysState): DyingKeys {
    const dying = new DyingKeys(untilMs, ttl);
    for (const [db, names] of keys) {
      for (const [name, expiryMs] of names) {
        dying.#note(db, Buffer.from(name, 'base64'), expiryMs ?? NaN);
      }
    }
    dying.#lost ||= lost;
    dying.#snapshotSeen = snapshotSeen;
    return dying;
  }

  /** What was noted, for another process. */
  get state(): DyingKeysState {
    return {
      untilMs: this.#untilMs,
      ttl: this.#ttl,
      keys: [...this.#byDb].map(([db, keys]) => [
        db,
        [...keys].map(([name, expiryMs]) => [
          Buffer.from(name, 'latin1').toString('base64'),
          Number.isNaN(expiryMs) ? null : expiryMs,
        ]),
      ]),
      lost: this.#lost,
      snapshotSeen: this.#snapshotSeen,
    };
  }

  /** Candidates of each database, the latest last. */
  get candidates(): ReadonlyMap<number, readonly Buffer[]> {
    return new Map(
      [...this.#byDb].map(([db, keys]) => [
        db,
        [...keys.keys()].map((key) => Buffer.from(key, 'latin1')),
      ]),
    );
  }

  /**
   * The candidates when every key that is expired at `nowMs` is among them for certain; else null:
   * too many, a command that may have carried an expiry elsewhere, a part that was not seen.
   */
  all(nowMs: number): ReadonlyMap<number, readonly Buffer[]> | null {
    return this.#lost || !this.#snapshotSeen || nowMs > this.#untilMs ? null : this.candidates;
  }

  /**
   * Whether a candidate that is expired had expired by the wanted second already, as far as that can
   * be told: its last expiry was given by name, and no life was moved to before that second.
   */
  wasDead(db: number, key: Buffer): boolean {
    const expiryMs = this.#byDb.get(db)?.get(key.toString('latin1')) ?? NaN;
    return expiryMs <= this.#ttl.atMs && !this.#movesBack;
  }

  get #movesBack(): boolean {
    const ttl = this.#ttl;
    if (ttl.mode === 'shift') return ttl.byMs < 0;
    return ttl.mode === 'rebase' && ttl.toMs < ttl.atMs;
  }

  /** Reads a whole plan for its candidates alone. */
  async collect(prepared: {
    readonly plan: RestorePlan;
    readonly reader: ObjectReader;
  }): Promise<void> {
    const { plan, reader } = prepared;
    await drain(this.tapRdb(snapshotSource(plan, reader, null)));
    await watchCommands(plan, reader, (batch) => this.noteCommands(batch));
  }

  /** Passes an RDB through and notes its keys. */
  async *tapRdb(source: ByteSource): ByteSource {
    const scanner = new RdbScanner((batch) => this.#noteEntries(batch));
    for await (const part of source) {
      scanner.push(part);
      yield part;
    }
    scanner.end();
    this.#snapshotSeen = true;
  }

  /** Notes the keys of a batch of commands. */
  noteCommands(batch: CommandBatch): void {
    const untold = visitExpiries(batch, (db, start, end, expiryMs) => {
      const expiry = newExpiry(this.#ttl, expiryMs);
      if (expiry !== null && expiry <= this.#untilMs)
        this.#note(db, batch.data.subarray(start, end), expiry);
    });
    if (untold > 0) this.#lost = true;
    for (let row = 0; row < batch.count; row++) {
      const move = MOVE_OF_SPEC[batch.spec[row] as number];
      if (move !== MOVE.none) this.#noteMoved(batch, row, move === MOVE.anywhere);
    }
  }

  /** An expiry goes along with its key: the key it goes to is a candidate, whatever its expiry. */
  #noteMoved(batch: CommandBatch, row: number, anywhere: boolean): void {
    const effect = visitKeys(batch, row, (db, start, end, write) => {
      if (write) this.#note(db, batch.data.subarray(start, end), NaN);
    });
    if (anywhere || effect === KEY_EFFECT.unknown) this.#lost = true;
  }

  #noteEntries(batch: RdbBatch): void {
    for (let row = 0; row < batch.count; row++) {
      if (((batch.flags[row] as number) & ROW.hasExpiry) === 0) continue;
      const expiryMs = batch.expiryMs[row] as number;
      if (expiryMs > this.#untilMs || !isEntry(batch.type[row] as number)) continue;
      this.#note(batch.db[row] as number, batch.keyOf(row), expiryMs);
    }
  }

  /** The latest ones are kept: those that expired long ago were deleted by the log itself. */
  #note(db: number, key: Buffer, expiryMs: number): void {
    if (key.length > KEY_BYTES_MAX) {
      this.#lost = true;
      return;
    }
    const keys = this.#byDb.get(db) ?? new Map<string, number>();
    this.#byDb.set(db, keys);
    const name = key.toString('latin1');
    if (!keys.delete(name)) this.#bytes += name.length;
    keys.set(name, expiryMs);
    while (keys.size > KEPT_MAX || this.#bytes > KEPT_BYTES_MAX) {
      const [oldest] = keys.keys();
      if (oldest === undefined) return; // what is left stands in other databases
      keys.delete(oldest);
      this.#bytes -= oldest.length;
      this.#lost = true;
    }
  }
}

async function drain(source: ByteSource): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}
