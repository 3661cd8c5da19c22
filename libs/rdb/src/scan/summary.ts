import {
  AUX_FIELDS_KEPT,
  DATABASE_COUNT_MAX,
  DATABASE_MAX,
  MODULE_COUNT_MAX,
} from '../format/limits.ts';
import { GrowingBytes } from '../format/growing-bytes.ts';
import { OPCODE, OPCODE_FIRST } from '../format/opcodes.ts';
import {
  hasFieldTtl,
  type RdbProduct,
  typeVersion,
  VERSION_FLOOR,
  VERSION_FUNCTION2,
  VERSION_KEY_META,
} from '../format/types.ts';
import { countEntriesWithin, type EntryCounts } from './count-within.ts';
import type { ChunkCursor } from './cursor.ts';
import { rdbFault } from './faults.ts';
import type { Layout } from './layout.ts';
import { type RdbBatch, ROW } from './rows.ts';
import type { WideLength } from './steps.ts';

/** What a whole RDB holds. Plain JSON. */
export interface RdbSummary {
  /** By the magic. Valkey before 9.0 writes the magic of Redis; see `aux['valkey-ver']`. */
  readonly product: RdbProduct;
  /** As the header says. */
  readonly version: number;
  /** Bytes of the file. */
  readonly bytes: number;
  readonly keys: number;
  /** Keys with an expiry. */
  readonly expires: number;
  /** Highest database that is selected, -1 if none: the target needs one more. */
  readonly maxDb: number;
  /** Databases that hold keys, ascending. */
  readonly databases: readonly {
    readonly db: number;
    readonly keys: number;
    readonly expires: number;
  }[];
  /** Type byte (decimal) to number of keys. */
  readonly types: Readonly<Record<string, number>>;
  /** Lowest version whose readers know all that is carried, at least 9. SLOT_INFO does not count. */
  readonly minVersion: number;
  readonly functions: number;
  /** Names of the modules whose values or fields are carried, in the order met. */
  readonly modules: readonly string[];
  /** AUX fields except repeated hints; values of 1 KiB and more are left out. */
  readonly aux: Readonly<Record<string, string>>;
  /** Whether a hash of a type that can hold field expiries is carried. */
  readonly fieldTtl: boolean;
  /** Keys with a KEY_META block: a loader that lacks the class may exit. */
  readonly keyMeta: number;
  /** Bytes of the longest entry with its expiry, key and value. */
  readonly largestEntryBytes: number;
  /** `absent`: the writer put no checksum (eight zero bytes, or a version below 5). */
  readonly checksum: 'verified' | 'absent';
}

/** AUX fields that stand many times or hold scripts: no facts about the file. */
const AUX_NOT_KEPT = new Set(['lua', 'slot-info', 'cluster-slot-states']);

const MODULE_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/**
 * The name in a module id: 54 bits of nine characters, then 10 bits of encoding version.
 * @see redis src/module.c, moduleTypeEncodeId
 */
function moduleName(id: WideLength): string {
  const bits = (BigInt(id.high) << 32n) | BigInt(id.low);
  let name = '';
  for (let shift = 58n; shift >= 10n; shift -= 6n) {
    name += MODULE_CHARACTERS.charAt(Number((bits >> shift) & 0x3fn));
  }
  return name;
}

interface DatabaseCount {
  keys: number;
  expires: number;
}

/** Counts what rows hold. */
export class SummaryBuilder {
  #expires = 0;
  #maxDb = -1;
  #functions = 0;
  #versions = VERSION_FLOOR;
  #keyMeta = 0;
  #largest = 0;
  #db = -1;
  #current: DatabaseCount = { keys: 0, expires: 0 };
  readonly #databases = new Map<number, DatabaseCount>();
  readonly #types = new Float64Array(256);
  /** Of one run of entries. */
  readonly #run: EntryCounts = { types: this.#types, keys: 0, expires: 0, largest: 0 };
  readonly #scratch = new GrowingBytes();
  readonly #modules = new Map<string, string>();
  readonly #aux = new Map<string, string>();

  addBatch(batch: RdbBatch): void {
    const { count, type, flags, db, start, end } = batch;
    for (let row = 0; row < count; row += 1) {
      const bytes = (end[row] as number) - (start[row] as number);
      const kind = type[row] as number;
      const rowFlags = flags[row] as number;
      if (kind >= OPCODE_FIRST) this.#addOpcode(kind, db[row] as number, start[row] as number);
      else if ((rowFlags & ROW.hasKeyMeta) === 0 && (db[row] as number) === this.#db) {
        // The common case of addEntry, spelled out for the hot loop.
        const expires = rowFlags & ROW.hasExpiry;
        this.#types[kind] = (this.#types[kind] as number) + 1;
        this.#current.keys += 1;
        this.#current.expires += expires;
        this.#expires += expires;
        if (bytes > this.#largest) this.#largest = bytes;
      } else {
        const range = { start: start[row] as number, end: end[row] as number };
        this.addEntry(kind, rowFlags, db[row] as number, range);
      }
    }
  }

  /** Counts the entries of `db` that lie wholly inside the chunk, as many as follow one another. */
  addWithin(cursor: ChunkCursor, layouts: readonly (Layout | undefined)[], db: number): void {
    const run = this.#run;
    const { offset } = cursor;
    run.keys = 0;
    run.expires = 0;
    countEntriesWithin(cursor, layouts, run, this.#scratch);
    if (run.keys === 0) return;
    if (db !== this.#db) this.#enter(db, offset);
    this.#current.keys += run.keys;
    this.#current.expires += run.expires;
    this.#expires += run.expires;
    if (run.largest > this.#largest) this.#largest = run.largest;
  }

  /** @param range - Offsets of the entry. */
  addEntry(
    type: number,
    flags: number,
    db: number,
    range: { readonly start: number; readonly end: number },
  ): void {
    if (db !== this.#db) this.#enter(db, range.start);
    const bytes = range.end - range.start;
    const expires = flags & ROW.hasExpiry;
    this.#types[type] = (this.#types[type] as number) + 1;
    this.#current.keys += 1;
    this.#current.expires += expires;
    this.#expires += expires;
    if (bytes > this.#largest) this.#largest = bytes;
    if ((flags & ROW.hasKeyMeta) === 0) return;
    this.#keyMeta += 1;
    this.#atLeast(VERSION_KEY_META);
  }

  #addOpcode(opcode: number, db: number, offset: number): void {
    if (opcode === OPCODE.function2) this.addFunction();
    else if (opcode === OPCODE.selectDb) this.select(db, offset);
  }

  addFunction(): void {
    this.#functions += 1;
    this.#atLeast(VERSION_FUNCTION2);
  }

  /** Notes a selected database. */
  select(db: number, offset: number): void {
    if (db > DATABASE_MAX) {
      throw rdbFault('TM_RDB_LIMIT', `database ${db} exceeds limit ${DATABASE_MAX}`, offset, {
        context: { db, limit: DATABASE_MAX },
      });
    }
    if (db > this.#maxDb) this.#maxDb = db;
  }

  addModule(id: WideLength, offset: number): void {
    const key = `${id.high >>> 0}:${id.low >>> 10}`;
    if (this.#modules.has(key)) return;
    if (this.#modules.size >= MODULE_COUNT_MAX) {
      throw rdbFault('TM_RDB_LIMIT', `more than ${MODULE_COUNT_MAX} modules`, offset, {
        context: { limit: MODULE_COUNT_MAX },
      });
    }
    this.#modules.set(key, moduleName(id));
  }

  addAux(name: string, value: string): void {
    if (AUX_NOT_KEPT.has(name)) return;
    if (this.#aux.size < AUX_FIELDS_KEPT || this.#aux.has(name)) this.#aux.set(name, value);
  }

  #atLeast(version: number): void {
    if (version > this.#versions) this.#versions = version;
  }

  #enter(db: number, offset: number): void {
    let count = this.#databases.get(db);
    if (count === undefined) {
      if (this.#databases.size >= DATABASE_COUNT_MAX) {
        throw rdbFault('TM_RDB_LIMIT', `more than ${DATABASE_COUNT_MAX} databases`, offset, {
          context: { limit: DATABASE_COUNT_MAX },
        });
      }
      count = { keys: 0, expires: 0 };
      this.#databases.set(db, count);
    }
    if (db > this.#maxDb) this.#maxDb = db;
    this.#db = db;
    this.#current = count;
  }

  /** @param file - What rows do not tell. */
  finish(file: Pick<RdbSummary, 'product' | 'version' | 'bytes' | 'checksum'>): RdbSummary {
    const types: Record<string, number> = {};
    let [keys, fieldTtl, minVersion] = [0, false, this.#versions];
    for (const [type, count] of this.#types.entries()) {
      if (count === 0) continue;
      types[String(type)] = count;
      keys += count;
      fieldTtl ||= hasFieldTtl(file.product, type);
      minVersion = Math.max(minVersion, typeVersion(file.product, type));
    }
    const databases = [...this.#databases]
      .map(([db, count]) => ({ db, keys: count.keys, expires: count.expires }))
      .sort((left, right) => left.db - right.db);
    return {
      ...file,
      ...{ keys, expires: this.#expires, maxDb: this.#maxDb, databases, types, minVersion },
      functions: this.#functions,
      modules: [...new Set(this.#modules.values())],
      aux: Object.fromEntries(this.#aux),
      fieldTtl,
      keyMeta: this.#keyMeta,
      largestEntryBytes: this.#largest,
    };
  }
}
