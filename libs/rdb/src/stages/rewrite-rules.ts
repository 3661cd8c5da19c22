import { FormatError, UsageError } from '@tidemark/core';
import { OPCODE } from '../format/opcodes.ts';
import { planType, type ReadersOf, type TypePlan } from '../decode/conversions.ts';
import type { NewFieldExpiry } from '../decode/field-expiry.ts';
import { namingEntry } from '../decode/name-entry.ts';
import type { ConvertValue } from '../decode/value-converter.ts';
import {
  isKnownVersion,
  VERSION_FLOOR,
  VERSION_FUNCTION2,
  VERSION_KEY_META,
  VERSION_SHARED_LAST,
  VERSION_VALKEY_FIRST,
} from '../format/types.ts';
import type { RdbHeader } from '../scan/header.ts';
import { type ElementFacts, ROW } from '../scan/rows.ts';
import { encodeExpiry } from '../format/encode.ts';

/** What a rewrite changes. Without any option: databases and hints tidied, all else kept. */
export interface RewriteRdbOptions {
  /**
   * Whether an entry is kept. Called once per entry in file order; `key` is valid only during the
   * call.
   */
  readonly keepKey?: (db: number, key: Buffer, type: number) => boolean;
  /**
   * New expiry of a kept key that has one (Unix milliseconds), or null to take it away. Asked for
   * each field with an expiry of its own too, with the key of its hash. `key` is valid only during
   * the call.
   */
  readonly newExpiry?: (expiryMs: number, db: number, key: Buffer) => number | null;
  /** Default true. */
  readonly keepFunctions?: boolean;
  /** Whether metadata of modules on keys (Redis 8.6) is kept. Default true. */
  readonly keepKeyMeta?: boolean;
  /**
   * RDB version to be written: 9 to 15 (Redis), 80 or 81 (Valkey). Values that its readers do not
   * know are converted where they have a form for them (docs/formats/rdb-conversions.md), else
   * refused. Default: the version of the source, at least 9, and no value is judged.
   */
  readonly version?: number;
}

/** A range of an entry's head that is left out, with what stands instead. */
export interface Cut {
  readonly start: number;
  readonly end: number;
  readonly instead: Buffer | null;
}

/** How a kept entry is written: its bytes but for the cuts, which are in file order. */
export interface EntryPlan {
  readonly cuts: readonly Cut[];
  /** `ROW` bits of the entry as it is written. */
  readonly flags: number;
  /** Type byte as it is written. */
  readonly type: number;
  /** How the value becomes one of that type; null when it is copied. */
  readonly convert: ConvertValue | null;
}

/** AUX fields that are facts about the file; the others are hints, positions or orders to a loader. */
const AUX_KEPT = new Set([
  ...['redis-ver', 'valkey-ver', 'redis-bits', 'ctime', 'used-mem'],
  ...['aof-base', 'aof-preamble'],
]);

const NO_CUTS: readonly Cut[] = [];

/** Decides what becomes of each element; moves no bytes. */
export class RewriteRules {
  readonly #options: RewriteRdbOptions;
  readonly #header: RdbHeader;
  readonly #readers: ReadersOf;
  /** By type byte, as types are met. */
  readonly #plans = new Array<TypePlan | undefined>(256).fill(undefined);
  /** RDB version that is written. */
  readonly version: number;

  /** @throws UsageError `TM_USAGE` for a version that is not written. */
  static checkOptions(options: RewriteRdbOptions): void {
    const { version } = options;
    if (version === undefined) return;
    const product = version >= VERSION_VALKEY_FIRST ? 'valkey' : 'redis';
    const known = Number.isInteger(version) && isKnownVersion(product, version);
    if (known && version >= VERSION_FLOOR) return;
    throw new UsageError('TM_USAGE', `RDB version ${version} is not written`, {
      context: { version },
    });
  }

  constructor(options: RewriteRdbOptions, header: RdbHeader) {
    this.#options = options;
    this.#header = header;
    this.version = options.version ?? Math.max(header.version, VERSION_FLOOR);
    this.#readers =
      options.version === undefined
        ? { product: header.product, version: Infinity }
        : {
            product: options.version >= VERSION_VALKEY_FIRST ? 'valkey' : 'redis',
            version: options.version,
          };
  }

  /** Whether RESIZEDB may stand again: right only while every key stays. */
  get keepsSizes(): boolean {
    return this.#options.keepKey === undefined;
  }

  static keepsAux(name: string): boolean {
    return AUX_KEPT.has(name);
  }

  /** Whether an element that is no entry, no database and no size is copied. */
  keepsOpcode(facts: ElementFacts): boolean {
    if (facts.type === OPCODE.aux) return RewriteRules.keepsAux(facts.keyView().toString('latin1'));
    if (facts.type === OPCODE.moduleAux) return true;
    if (facts.type !== OPCODE.function2 || this.#options.keepFunctions === false) return false;
    this.#require(VERSION_FUNCTION2, 'a function library', { offset: facts.start });
    return true;
  }

  /**
   * How an entry is written, or null when it is left out.
   * @throws FormatError `TM_RDB_REWRITE` when readers of the wanted version have no form for it.
   */
  planEntry(facts: ElementFacts): EntryPlan | null {
    const { keepKey } = this.#options;
    if (keepKey !== undefined && !keepKey(facts.db, facts.keyView(), facts.type)) return null;
    const plan = this.#plans[facts.type] ?? this.#planType(facts.type);
    const { type } = plan;
    const convert = plan.kind === 'copy' ? null : this.#conversion(plan, facts);
    const expiry = this.#expiryCut(facts);
    const meta = this.#metaCut(facts);
    if (expiry === null && meta === null) {
      return { cuts: NO_CUTS, flags: facts.flags, type, convert };
    }
    let flags = facts.flags;
    if (expiry !== null && expiry.instead === null) flags &= ~ROW.hasExpiry;
    if (meta !== null) flags &= ~ROW.hasKeyMeta;
    const cuts = [expiry, meta].filter((cut) => cut !== null);
    return { cuts: cuts.sort((left, right) => left.start - right.start), flags, type, convert };
  }

  #planType(type: number): TypePlan {
    const expiriesChange = this.#options.newExpiry !== undefined;
    const plan = planType(this.#header.product, type, this.#readers, expiriesChange);
    this.#plans[type] = plan;
    return plan;
  }

  #conversion(plan: Exclude<TypePlan, { kind: 'copy' }>, facts: ElementFacts): ConvertValue {
    const { type, db, start: offset } = facts;
    if (plan.kind === 'refuse') {
      const { version } = this;
      throw new FormatError('TM_RDB_REWRITE', `${plan.reason}, ${version} is written`, {
        context: { offset, db, type, needed: plan.needed, version },
      });
    }
    const { newExpiry } = this.#options;
    // The value may go on in later chunks, when the key is gone.
    const key = newExpiry === undefined ? null : Buffer.from(facts.keyView());
    const rule: NewFieldExpiry = (expiryMs) =>
      newExpiry === undefined || key === null ? expiryMs : newExpiry(expiryMs, db, key);
    return namingEntry(plan.convert(rule), { db, type, entryOffset: offset });
  }

  /** Refuses what readers of the wanted version do not know. The source's own version is not judged. */
  #require(
    needed: number,
    what: string,
    at: { readonly offset: number; readonly db?: number },
  ): void {
    const { version, product } = this.#readers;
    if (needed <= version && (needed <= VERSION_SHARED_LAST || product === this.#header.product)) {
      return;
    }
    const message = `${what} of ${this.#header.product} needs RDB version ${needed}, ${version} is written`;
    throw new FormatError('TM_RDB_REWRITE', message, { context: { ...at, needed, version } });
  }

  #expiryCut(facts: ElementFacts): Cut | null {
    const { newExpiry } = this.#options;
    if (newExpiry === undefined || (facts.flags & ROW.hasExpiry) === 0) return null;
    const expiryMs = newExpiry(facts.expiryMs, facts.db, facts.keyView());
    const inSeconds = (facts.flags & ROW.expiryInSeconds) !== 0;
    if (expiryMs === facts.expiryMs && !inSeconds) return null;
    if (expiryMs !== null && !Number.isSafeInteger(expiryMs)) {
      throw new UsageError('TM_USAGE', `new expiry ${expiryMs} is not a whole number`, {
        context: { offset: facts.start },
      });
    }
    const instead = expiryMs === null ? null : encodeExpiry(expiryMs);
    return { start: facts.expiryAt, end: facts.expiryAt + (inSeconds ? 5 : 9), instead };
  }

  #metaCut(facts: ElementFacts): Cut | null {
    if ((facts.flags & ROW.hasKeyMeta) === 0) return null;
    if (this.#options.keepKeyMeta === false) {
      return { start: facts.metaStart, end: facts.metaEnd, instead: null };
    }
    const { start: offset, db } = facts;
    this.#require(VERSION_KEY_META, 'metadata of a key', { offset, db });
    return null;
  }
}
