import {
  COMMANDS,
  KEY_EFFECT,
  KEY_RULE,
  swappedDatabases,
  visitExpiries,
  visitKeys,
} from '@tidemark/aof';
import type { CommandBatch, KeyRule } from '@tidemark/aof';
import type { ByteSource } from '@tidemark/core';
import { isEntry, RdbScanner, ROW, type RdbBatch } from '@tidemark/rdb';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { newExpiry, type TtlRule } from '../plan/ttl-rule.ts';
import { watchCommands } from './command-source.ts';
import { ExpiryLedger, type KeyPlace } from './expiry-ledger.ts';
import { snapshotSource } from './snapshot-source.ts';

/** What a command can do to the expiry of a key that it does not name an expiry for. */
const MOVE = { none: 0, ofKey: 1, ofDatabase: 2, anywhere: 3 } as const;
const MOVING_RULES: readonly KeyRule[] = [
  KEY_RULE.rename,
  KEY_RULE.renameNx,
  KEY_RULE.copy,
  KEY_RULE.move,
];
const OPAQUE_RULES: readonly KeyRule[] = [KEY_RULE.opaque, KEY_RULE.script];
const MOVE_OF_SPEC = Uint8Array.from(COMMANDS, ({ keys }) => {
  if (OPAQUE_RULES.includes(keys)) return MOVE.anywhere;
  if (keys === KEY_RULE.swapDb) return MOVE.ofDatabase;
  return MOVING_RULES.includes(keys) ? MOVE.ofKey : MOVE.none;
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
 * An expiry is followed where its key goes. Memory is bounded: of too many the latest are kept, and
 * `all` then answers null.
 */
export class DyingKeys {
  readonly #untilMs: number;
  readonly #ttl: TtlRule;
  readonly #skips: boolean;
  #ledger = new ExpiryLedger();
  #snapshotSeen = false;
  /** What the snapshot has given, for commands that are fed once more. */
  #ofSnapshot: ExpiryLedger | null = null;

  /**
   * @param untilMs - Unix milliseconds; what expires later is not noted.
   * @param ttl - What becomes of the expiries of commands; those of an RDB have become it.
   * @param skips - Commands are left out: those that follow may not do what they did.
   */
  constructor(untilMs: number, ttl: TtlRule, skips = false) {
    this.#untilMs = untilMs;
    this.#ttl = ttl;
    this.#skips = skips;
  }

  /** What another process has noted. */
  static from({ untilMs, ttl, keys, lost, snapshotSeen }: DyingKeysState): DyingKeys {
    const dying = new DyingKeys(untilMs, ttl);
    for (const [db, names] of keys) {
      for (const [name, expiryMs] of names) {
        dying.#ledger.enter(db, Buffer.from(name, 'base64'), expiryMs ?? NaN);
      }
    }
    if (lost) dying.#ledger.lose();
    dying.#snapshotSeen = snapshotSeen;
    return dying;
  }

  /** What was noted, for another process. */
  get state(): DyingKeysState {
    return {
      untilMs: this.#untilMs,
      ttl: this.#ttl,
      keys: [...this.#ledger.entries()].map(([db, keys]) => [
        db,
        keys.map(([name, expiryMs]) => [
          Buffer.from(name, 'latin1').toString('base64'),
          Number.isNaN(expiryMs) ? null : expiryMs,
        ]),
      ]),
      lost: this.#ledger.lost,
      snapshotSeen: this.#snapshotSeen,
    };
  }

  /** Candidates of each database, the latest last. */
  get candidates(): ReadonlyMap<number, readonly Buffer[]> {
    return new Map(
      [...this.#ledger.entries()].map(([db, keys]) => [
        db,
        keys.map(([name]) => Buffer.from(name, 'latin1')),
      ]),
    );
  }

  /**
   * The candidates when every key that is expired at `nowMs` is among them for certain; else null:
   * too many, a command that may have carried an expiry elsewhere, a part that was not seen.
   */
  all(nowMs: number): ReadonlyMap<number, readonly Buffer[]> | null {
    const lost = this.#ledger.lost || !this.#snapshotSeen;
    return lost || nowMs > this.#untilMs ? null : this.candidates;
  }

  /**
   * Whether a key that is expired at `nowMs` had expired by the wanted second already. No where that
   * cannot be told: its expiry is not known, or lives were moved to before that second.
   */
  wasDead(db: number, key: Buffer, nowMs: number): boolean {
    if (nowMs > this.#untilMs || this.#movesBack) return false;
    return this.#ledger.expiryOf(db, key) <= this.#ttl.atMs;
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
    this.beginCommands();
    await watchCommands(plan, reader, (batch) => this.noteCommands(batch));
  }

  /** Passes an RDB through and notes its keys. */
  async *tapRdb(source: ByteSource): ByteSource {
    this.#ledger = new ExpiryLedger();
    this.#ofSnapshot = null;
    this.#snapshotSeen = false;
    const scanner = new RdbScanner((batch) => this.#noteEntries(batch));
    for await (const part of source) {
      scanner.push(part);
      yield part;
    }
    scanner.end();
    this.#snapshotSeen = true;
  }

  /** All commands come now, from the first on; those that came before do not count. */
  beginCommands(): void {
    this.#ofSnapshot ??= this.#ledger;
    this.#ledger = this.#ofSnapshot.copy();
  }

  /** Notes the keys of a batch of commands. */
  noteCommands(batch: CommandBatch): void {
    let from = 0;
    for (let row = 0; row < batch.count; row++) {
      const move = MOVE_OF_SPEC[batch.spec[row] as number];
      if (move === MOVE.none) continue;
      this.#noteGiven(batch, from, row);
      if (move === MOVE.ofKey) this.#noteMoved(batch, row);
      else if (move === MOVE.ofDatabase) this.#noteSwapped(batch, row);
      else this.#noteUnknown(batch, row);
      from = row + 1;
    }
    this.#noteGiven(batch, from, batch.count);
  }

  #noteGiven(batch: CommandBatch, first: number, end: number): void {
    if (first === end) return;
    const untold = visitExpiries(
      batch,
      (db, start, stop, expiryMs) => {
        const expiry = newExpiry(this.#ttl, expiryMs);
        if (expiry !== null && expiry <= this.#untilMs)
          this.#ledger.enter(db, batch.data.subarray(start, stop), expiry);
      },
      first,
      end,
    );
    if (untold === 0) return;
    // Which of them it was tells what still holds: they are taken one by one once more.
    if (end - first > 1)
      for (let row = first; row < end; row++) this.#noteGiven(batch, row, row + 1);
    else this.#ledger.doubt();
  }

  /** An expiry goes along with its key. */
  #noteMoved(batch: CommandBatch, row: number): void {
    const visited: (KeyPlace & { readonly write: boolean })[] = [];
    const effect = visitKeys(batch, row, (db, start, end, write) =>
      visited.push({ db, name: batch.data.toString('latin1', start, end), write }),
    );
    const [from, to] = visited;
    const told = effect === KEY_EFFECT.multi && from !== undefined && to !== undefined;
    if (!told || this.#skips) {
      this.#noteUnknown(batch, row);
      return;
    }
    // COPY only reads the first.
    this.#ledger.move(from, to, { stays: !from.write, allEntered: this.#snapshotSeen });
  }

  #noteSwapped(batch: CommandBatch, row: number): void {
    const pair = swappedDatabases(batch, row);
    if (pair === null) this.#ledger.doubt();
    else this.#ledger.swap(pair.first, pair.second);
  }

  /** The keys that it writes to may have got any expiry, and others with them where they are not all told. */
  #noteUnknown(batch: CommandBatch, row: number): void {
    const effect = visitKeys(batch, row, (db, start, end, write) => {
      if (write) this.#ledger.enter(db, batch.data.subarray(start, end), NaN);
    });
    if (effect === KEY_EFFECT.unknown || MOVE_OF_SPEC[batch.spec[row] as number] === MOVE.anywhere)
      this.#ledger.doubt();
  }

  #noteEntries(batch: RdbBatch): void {
    for (let row = 0; row < batch.count; row++) {
      if (((batch.flags[row] as number) & ROW.hasExpiry) === 0) continue;
      const expiryMs = batch.expiryMs[row] as number;
      if (expiryMs > this.#untilMs || !isEntry(batch.type[row] as number)) continue;
      this.#ledger.enter(batch.db[row] as number, batch.keyOf(row), expiryMs);
    }
  }
}

async function drain(source: ByteSource): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}
