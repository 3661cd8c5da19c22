import {
  argumentIs,
  COMMANDS,
  KEY_EFFECT,
  keyword,
  swappedDatabases,
  visitExpiries,
  visitKeys,
  type CommandBatch,
} from '@tidemark/aof';
import { unpackSnapshot } from '@tidemark/archive';
import { nameObject } from '@tidemark/core';
import { shownKey } from '@tidemark/selector';
import { isEntry, RdbScanner, ROW, type RdbBatch } from '@tidemark/rdb';
import { needsEntry } from '../closure/closure.ts';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { newExpiry, type TtlRule } from '../plan/ttl-rule.ts';
import { watchCommands } from './command-source.ts';
import { VANISH_EFFECT, VANISH_EFFECT_OF_SPEC } from './vanish-effects.ts';

/** Keys whose (new) expiry has passed: they go at once when they are handed over. */
export interface Vanishing {
  readonly count: number;
  /**
   * `atMost`: some of them may be gone for another reason. `unknown`: there may be others too, for
   * something ran whose effect cannot be told.
   */
  readonly bound: 'exact' | 'atMost' | 'unknown';
  /** Printable names of some of them. */
  readonly sample: readonly string[];
}

/** Names that are kept at most, bytes of them, and those that are shown. */
const KEPT_MAX = 200_000;
const KEPT_BYTES_MAX = 32 * 1024 * 1024;
const SAMPLE_MAX = 20;

const KEEPTTL = keyword('keepttl');
/** These keep the expiry when they are given none; the others that may give one take it away. */
const KEEPS = new Set(['pexpireat', 'expireat', 'expire', 'pexpire', 'setex', 'psetex']);
const KEEPS_OF_SPEC = Uint8Array.from(COMMANDS, ({ name }) => (KEEPS.has(name) ? 1 : 0));

/**
 * Tells from a snapshot and the log after it which keys will vanish at once: what a target would say
 * after the replay, without one. Memory is bounded.
 */
export class VanishForecast {
  readonly #ttl: TtlRule;
  readonly #untilMs: number;
  readonly #needs: (db: number, key: Buffer) => boolean;
  /** By database, names as latin1: whether the key is there for certain. */
  readonly #byDb = new Map<number, Map<string, boolean>>();
  #kept = 0;
  #bytes = 0;
  /** Those of which the name was not kept, some perhaps more than once. */
  #unnamed = 0;
  #untold = false;
  /** Whether some may have gone that are still counted. */
  #unsure = false;

  /**
   * @param untilMs - Unix milliseconds; what has a new expiry up to then will vanish.
   * @param needs - Entries of the snapshot that are replayed; default: all.
   */
  constructor(
    ttl: TtlRule,
    untilMs: number,
    needs: (db: number, key: Buffer) => boolean = () => true,
  ) {
    this.#ttl = ttl;
    this.#untilMs = untilMs;
    this.#needs = needs;
  }

  /** @param keeps - Which keys are handed over; default: all. */
  result(keeps: (db: number, key: Buffer) => boolean = () => true): Vanishing {
    let count = this.#unnamed;
    let certain = this.#unnamed === 0 && !this.#unsure;
    const sample: string[] = [];
    for (const [db, keys] of this.#byDb) {
      for (const [name, sure] of keys) {
        const key = Buffer.from(name, 'latin1');
        if (!keeps(db, key)) continue;
        count += 1;
        certain &&= sure;
        if (sample.length < SAMPLE_MAX) sample.push(shownKey(key));
      }
    }
    if (this.#untold) return { count, bound: 'unknown', sample };
    return { count, bound: certain ? 'exact' : 'atMost', sample };
  }

  /** Takes entries of the snapshot, as it is stored. */
  noteEntries(batch: RdbBatch): void {
    for (let row = 0; row < batch.count; row++) {
      if (((batch.flags[row] as number) & ROW.hasExpiry) === 0) continue;
      if (!isEntry(batch.type[row] as number)) continue;
      if (!this.#passes(batch.expiryMs[row] as number)) continue;
      const [db, key] = [batch.db[row] as number, batch.keyOf(row)];
      if (this.#needs(db, key)) this.#put(db, key.toString('latin1'), true);
    }
  }

  /** Takes the commands after it, in order. */
  noteCommands(batch: CommandBatch): void {
    for (let row = 0; row < batch.count; row++) {
      const effect = VANISH_EFFECT_OF_SPEC[batch.spec[row] as number];
      if (effect !== VANISH_EFFECT.none) this.#note(batch, row, effect as number);
    }
  }

  #note(batch: CommandBatch, row: number, effect: number): void {
    switch (effect) {
      case VANISH_EFFECT.gives:
        this.#noteGiven(batch, row);
        break;
      case VANISH_EFFECT.clears:
        this.#eachWritten(batch, row, (db, name) => this.#take(db, name));
        break;
      case VANISH_EFFECT.mayEmpty:
        this.#eachWritten(batch, row, (db, name) => {
          const keys = this.#byDb.get(db);
          if (keys?.has(name) === true) keys.set(name, false);
        });
        break;
      case VANISH_EFFECT.moves:
        this.#noteMoved(batch, row);
        break;
      case VANISH_EFFECT.swaps:
        this.#noteSwapped(batch, row);
        break;
      case VANISH_EFFECT.flushesDb:
        this.#flush(batch.db[row] as number);
        break;
      case VANISH_EFFECT.flushesAll:
        for (const db of [...this.#byDb.keys()]) this.#flush(db);
        this.#unnamed = 0;
        this.#untold = false;
        this.#unsure = false;
        break;
      default:
        this.#untold = true;
    }
  }

  #noteGiven(batch: CommandBatch, row: number): void {
    let given = 0;
    const untold = visitExpiries(
      batch,
      (db, start, end, expiryMs) => {
        given += 1;
        const name = batch.data.toString('latin1', start, end);
        if (this.#passes(expiryMs)) this.#put(db, name, true);
        else this.#take(db, name);
      },
      row,
      row + 1,
    );
    if (untold > 0) this.#untold = true;
    if (given > 0 || untold > 0 || KEEPS_OF_SPEC[batch.spec[row] as number] === 1) return;
    const at = batch.argAt[row] as number;
    for (let index = 3; index < (batch.argc[row] as number); index++) {
      if (argumentIs(batch, at + index, KEEPTTL)) return;
    }
    this.#eachWritten(batch, row, (db, name) => this.#take(db, name));
  }

  #noteMoved(batch: CommandBatch, row: number): void {
    const visited: { readonly db: number; readonly name: string; readonly write: boolean }[] = [];
    const effect = visitKeys(batch, row, (db, start, end, write) =>
      visited.push({ db, name: batch.data.toString('latin1', start, end), write }),
    );
    const [from, to] = visited;
    if (effect !== KEY_EFFECT.multi || from === undefined || to === undefined) {
      this.#untold = true;
      return;
    }
    const sure = this.#byDb.get(from.db)?.get(from.name);
    // COPY only reads the first.
    if (from.write) this.#take(from.db, from.name);
    if (sure === undefined) this.#take(to.db, to.name);
    else this.#put(to.db, to.name, sure);
  }

  #noteSwapped(batch: CommandBatch, row: number): void {
    const pair = swappedDatabases(batch, row);
    if (pair === null) {
      this.#untold = true;
      return;
    }
    const { first, second } = pair;
    const [one, other] = [this.#byDb.get(first), this.#byDb.get(second)];
    for (const [db, keys] of [[first, other] as const, [second, one] as const]) {
      if (keys === undefined) this.#byDb.delete(db);
      else this.#byDb.set(db, keys);
    }
  }

  #eachWritten(batch: CommandBatch, row: number, note: (db: number, name: string) => void): void {
    if (this.#kept === 0) return;
    const effect = visitKeys(batch, row, (db, start, end, write) => {
      if (write) note(db, batch.data.toString('latin1', start, end));
    });
    // A key that is too long to be held: which one it was is not known. SORT only reads the rest.
    const sorts = COMMANDS[batch.spec[row] as number]?.name === 'sort';
    if (effect === KEY_EFFECT.unknown && !sorts) this.#unsure = true;
  }

  #passes(expiryMs: number): boolean {
    const expiry = newExpiry(this.#ttl, expiryMs);
    return expiry !== null && expiry <= this.#untilMs;
  }

  #put(db: number, name: string, sure: boolean): void {
    const keys = this.#byDb.get(db) ?? new Map<string, boolean>();
    if (!keys.has(name)) {
      if (this.#kept >= KEPT_MAX || this.#bytes + name.length > KEPT_BYTES_MAX) {
        this.#unnamed += 1;
        return;
      }
      this.#kept += 1;
      this.#bytes += name.length;
    }
    keys.set(name, sure);
    this.#byDb.set(db, keys);
  }

  #take(db: number, name: string): void {
    if (this.#byDb.get(db)?.delete(name) !== true) return;
    this.#kept -= 1;
    this.#bytes -= name.length;
  }

  #flush(db: number): void {
    for (const name of [...(this.#byDb.get(db)?.keys() ?? [])]) this.#take(db, name);
  }
}

/**
 * Reads a plan for the keys that will vanish at once, those that are selected, and touches no target.
 * @param untilMs - Unix milliseconds of the hand-over, as far as it is known.
 * @throws FormatError, IntegrityError or StoreError for damage, as a restore would.
 */
export async function forecastVanishing(
  { plan, reader }: { readonly plan: RestorePlan; readonly reader: ObjectReader },
  untilMs: number,
): Promise<Vanishing> {
  const { closure } = plan;
  const selector = closure?.selector ?? null;
  const forecast = new VanishForecast(
    plan.ttl,
    untilMs,
    (db, key) => closure === null || needsEntry(closure, db, key),
  );
  if (closure?.startsEmpty !== true) await noteSnapshot(forecast, { plan, reader });
  await watchCommands(plan, reader, (batch) => forecast.noteCommands(batch));
  if (selector === null) return forecast.result();
  const found = forecast.result((db, key) => selector.matches(db, key));
  // Of what type a key is at the end is not looked at here.
  const loose = selector.hasTypes && found.count > 0 && found.bound === 'exact';
  return loose ? { ...found, bound: 'atMost' } : found;
}

async function noteSnapshot(
  forecast: VanishForecast,
  { plan, reader }: { readonly plan: RestorePlan; readonly reader: ObjectReader },
): Promise<void> {
  const scanner = new RdbScanner((batch) => forecast.noteEntries(batch));
  try {
    for await (const part of unpackSnapshot(reader.opened(plan.snapshotObject))) scanner.push(part);
    scanner.end();
  } catch (cause) {
    throw nameObject(cause, reader.nameOf(plan.snapshotObject));
  }
}
