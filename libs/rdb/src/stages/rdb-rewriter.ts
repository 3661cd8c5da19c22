import { FormatError } from '@tidemark/core';
import { KEY_BYTES_MAX, KEY_META_BYTES_MAX } from '../format/limits.ts';
import { OPCODE } from '../format/opcodes.ts';
import { VERSION_VALKEY_FIRST } from '../format/types.ts';
import { type ElementFacts, isEntry, type OpenElement, type RdbBatch } from '../scan/rows.ts';
import { RdbScanner } from '../scan/scanner.ts';
import { type RdbSummary, SummaryBuilder } from '../scan/summary.ts';
import { ValueConverter } from '../decode/value-converter.ts';
import { encodeHeader, encodeSelectDb } from '../format/encode.ts';
import { RdbOutput } from './rdb-output.ts';
import { type EntryPlan, type RewriteRdbOptions, RewriteRules } from './rewrite-rules.ts';

const HELD_BYTES_MAX = KEY_BYTES_MAX + KEY_META_BYTES_MAX;

/** One row of a batch, seen as an element. */
class RowFacts implements ElementFacts {
  row = 0;
  readonly #batch: RdbBatch;

  constructor(batch: RdbBatch) {
    this.#batch = batch;
  }

  get type(): number {
    return this.#batch.type[this.row] as number;
  }
  get flags(): number {
    return this.#batch.flags[this.row] as number;
  }
  get db(): number {
    return this.#batch.db[this.row] as number;
  }
  get expiryMs(): number {
    return this.#batch.expiryMs[this.row] as number;
  }
  get expiryAt(): number {
    return this.#batch.expiryAt[this.row] as number;
  }
  get metaStart(): number {
    return this.#batch.metaStart[this.row] as number;
  }
  get metaEnd(): number {
    return this.#batch.metaEnd[this.row] as number;
  }
  get typeAt(): number {
    return this.#batch.typeAt[this.row] as number;
  }
  get valueStart(): number {
    return this.#batch.valueStart[this.row] as number;
  }
  get start(): number {
    return this.#batch.start[this.row] as number;
  }
  keyView(): Buffer {
    return this.#batch.keyOf(this.row);
  }
}

/**
 * The engine of `rewriteRdb`: bytes in by `push` and `end`, chunks out by `output.take`.
 *
 * An element that ends in a later chunk is in one of four modes. Held: its key is not known yet, its
 * bytes wait in memory. Copied, dropped, converted: it was decided, its bytes pass, vanish or feed a
 * conversion as they come. Only what stands before and in a key is held, and what a conversion needs.
 */
export class RdbRewriter {
  readonly output = new RdbOutput();
  readonly #options: RewriteRdbOptions;
  readonly #scanner: RdbScanner;
  readonly #written = new SummaryBuilder();
  #rules: RewriteRules | null = null;
  #chunk: Uint8Array = new Uint8Array(0);
  /** Stream offset of the chunk. */
  #base = 0;
  /** Range of the chunk that is kept and not written yet; what follows it extends it. */
  #runStart = 0;
  #runEnd = 0;
  #mode: 'held' | 'copied' | 'dropped' | 'converted' = 'held';
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** What the element decided last looks like as it is written. */
  #plan: EntryPlan = { cuts: [], flags: 0, type: 0, convert: null };
  /** Of the entry decided last, when its value is converted, with the bytes written before it. */
  #converter: ValueConverter | null = null;
  #bytesBefore = 0;
  #writtenDb = 0;
  #sizes: Buffer | null = null;

  constructor(options: RewriteRdbOptions) {
    RewriteRules.checkOptions(options);
    this.#options = options;
    this.#scanner = new RdbScanner((batch) => {
      this.#takeBatch(batch);
    });
  }

  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#base = this.#scanner.offset;
    this.#runStart = 0;
    this.#runEnd = 0;
    this.#scanner.push(chunk);
    const open = this.#scanner.open;
    if (open !== null) this.#takeOpen(open);
    this.#flushRun();
  }

  /** Checks that the source was whole and writes the end of the RDB. */
  end(): { written: RdbSummary; read: RdbSummary } {
    const read = this.#scanner.end();
    const { version } = this.#begin();
    this.output.write(Buffer.of(OPCODE.endOfFile));
    this.output.writeChecksum();
    const written = this.#written.finish({
      product: version >= VERSION_VALKEY_FIRST ? 'valkey' : 'redis',
      version,
      bytes: this.output.bytes,
      checksum: 'verified',
    });
    const aux = Object.entries(read.aux).filter(([name]) => RewriteRules.keepsAux(name));
    return { written: { ...written, modules: read.modules, aux: Object.fromEntries(aux) }, read };
  }

  /** Writes the header as soon as the source's is known. */
  #begin(): RewriteRules {
    if (this.#rules !== null) return this.#rules;
    const header = this.#scanner.header ?? { product: 'redis', version: 0 };
    this.#rules = new RewriteRules(this.#options, header);
    this.output.write(encodeHeader(this.#rules.version));
    return this.#rules;
  }

  #takeBatch(batch: RdbBatch): void {
    const rules = this.#begin();
    const facts = new RowFacts(batch);
    for (let row = 0; row < batch.count; row += 1) {
      facts.row = row;
      const end = batch.end[row] as number;
      const mode = facts.start < this.#base ? this.#mode : 'held';
      let kept = mode === 'copied' || mode === 'converted';
      if (mode === 'copied') this.#keep(this.#base, end);
      else if (mode === 'converted') this.#convert(this.#base, end);
      else if (mode === 'held') {
        kept = this.#decide(rules, facts, end);
        this.#drop();
      }
      if (kept) this.#count(facts, end);
    }
  }

  /** Handles the end of the chunk, which belongs to an element that goes on. */
  #takeOpen(open: Readonly<OpenElement>): void {
    const start = Math.max(open.start, this.#base);
    const end = this.#base + this.#chunk.length;
    if (start === open.start) this.#mode = 'held';
    if (this.#mode === 'copied') this.#keep(start, end);
    else if (this.#mode === 'converted') this.#convert(start, end);
    if (this.#mode !== 'held') return;
    // The sizes of a database are tiny and wanted whole; all else can go on its way.
    if (open.named && open.type !== OPCODE.resizeDb) {
      const kept = this.#decide(this.#begin(), open, end);
      this.#mode = !kept ? 'dropped' : this.#converter === null ? 'copied' : 'converted';
      this.#drop();
      return;
    }
    this.#held.push(this.#chunk.subarray(start - this.#base));
    this.#heldBytes += end - start;
    if (this.#heldBytes <= HELD_BYTES_MAX) return;
    const message = `${this.#heldBytes} bytes up to a key exceed limit ${HELD_BYTES_MAX}`;
    const context = { offset: open.start, length: this.#heldBytes, limit: HELD_BYTES_MAX };
    throw new FormatError('TM_RDB_LIMIT', message, { context });
  }

  /** Writes an element up to `end`, or leaves it out. Gives whether it is kept. */
  #decide(rules: RewriteRules, facts: ElementFacts, end: number): boolean {
    const { type, start } = facts;
    this.#converter = null;
    if (isEntry(type)) return this.#decideEntry(rules, facts, end);
    if (type === OPCODE.selectDb) this.#sizes = null;
    else if (type === OPCODE.resizeDb) {
      this.#sizes = rules.keepsSizes ? this.#copyOf(start, end) : null;
    } else if (rules.keepsOpcode(facts)) {
      this.#keep(start, end);
      return true;
    }
    return false;
  }

  #decideEntry(rules: RewriteRules, facts: ElementFacts, end: number): boolean {
    const plan = rules.planEntry(facts);
    if (plan === null) return false;
    this.#plan = plan;
    this.#select(facts.db);
    let from = facts.start;
    for (const cut of plan.cuts) {
      this.#keep(from, cut.start);
      if (cut.instead !== null) this.#insert(cut.instead);
      from = cut.end;
    }
    if (plan.convert === null) this.#keep(from, end);
    else {
      this.#keep(from, facts.typeAt);
      this.#insert(Buffer.of(plan.type));
      this.#keep(facts.typeAt + 1, facts.valueStart);
      this.#flushRun();
      this.#bytesBefore = this.output.bytes;
      this.#converter = new ValueConverter(plan.convert, this.output, facts.valueStart);
      this.#convert(facts.valueStart, end);
    }
    return true;
  }

  /** Feeds the conversion with bytes of the chunk between two stream offsets. */
  #convert(start: number, end: number): void {
    this.#converter?.push(this.#chunk.subarray(start - this.#base, end - this.#base));
  }

  /** Writes what must stand before a key of `db`. */
  #select(db: number): void {
    if (db !== this.#writtenDb) this.#insert(encodeSelectDb(db));
    this.#writtenDb = db;
    if (this.#sizes !== null) this.#insert(this.#sizes);
    this.#sizes = null;
  }

  #count(facts: ElementFacts, end: number): void {
    if (!isEntry(facts.type)) {
      if (facts.type === OPCODE.function2) this.#written.addFunction();
      return;
    }
    const { cuts, flags, type } = this.#plan;
    let { start } = facts;
    let stop = end;
    if (this.#converter !== null) {
      this.#converter.end();
      this.#converter = null;
      stop = facts.valueStart + this.output.bytes - this.#bytesBefore;
    }
    for (const cut of cuts) start += cut.end - cut.start - (cut.instead?.length ?? 0);
    this.#written.addEntry(type, flags, facts.db, { start, end: stop });
  }

  /** Keeps bytes of the source between two stream offsets; they may begin in held chunks. */
  #keep(start: number, end: number): void {
    if (start < this.#base) this.#writeHeld(start, Math.min(end, this.#base));
    const from = Math.max(start, this.#base) - this.#base;
    const to = end - this.#base;
    if (to <= from) return;
    if (from !== this.#runEnd) {
      this.#flushRun();
      this.#runStart = from;
    }
    this.#runEnd = to;
  }

  #writeHeld(start: number, end: number): void {
    this.#flushRun();
    let at = this.#base - this.#heldBytes;
    for (const piece of this.#held) {
      this.output.write(piece, Math.max(start - at, 0), Math.min(end - at, piece.length));
      at += piece.length;
    }
  }

  #insert(bytes: Buffer): void {
    this.#flushRun();
    this.output.write(bytes);
  }

  #flushRun(): void {
    this.output.write(this.#chunk, this.#runStart, this.#runEnd);
    this.#runStart = this.#runEnd;
  }

  #copyOf(start: number, end: number): Buffer {
    const whole = Buffer.concat([...this.#held, this.#chunk]);
    const first = this.#base - this.#heldBytes;
    return Buffer.from(whole.subarray(start - first, end - first));
  }

  #drop(): void {
    if (this.#heldBytes === 0) return;
    this.#held = [];
    this.#heldBytes = 0;
  }
}
