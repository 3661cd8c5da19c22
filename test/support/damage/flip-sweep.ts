import type { Catalog } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { Dice } from '../workload/dice.ts';
import type { DamageBench } from './damage-bench.ts';
import type { TinyBody } from './tiny-archive.ts';

/** Damage that was let through, at most; more say no more. */
const ESCAPED_MAX = 20;
/** A restore does not open what it does not need: of such bytes only some are tried on it. */
const UNNEEDED_STEP = 8;
/** Of the bodies of log entries, every so manyth byte is tried with a catalog that is built anew. */
const FRESH_STEP = 16;

/** What a sweep has done and found. */
export interface SweepResult {
  /** Bytes that were flipped, each once, and those of the archive (all lanes). */
  flipped: number;
  archiveBytes: number;
  repoRuns: number;
  dryRuns: number;
  /** Sentences about damage that was not refused as it should be. */
  readonly escaped: string[];
}

/** One byte with one bit turned. */
interface Flip {
  readonly key: string;
  readonly at: number;
}

/**
 * Flips every byte of an archive, one random bit of each, and looks whether it is found.
 *
 * `repo verify` finds all faults in one run, so it is given one flip in each sealed body at a time,
 * and must name each of them and nothing else. A dry run ends at the first fault, so it is given one
 * flip at a time. Its catalog is fresh wherever what a catalog holds was touched: records and the
 * heads of log entries.
 */
export class FlipSweep {
  readonly #bench: DamageBench;
  readonly #lane: number;
  readonly #lanes: number;
  readonly #dice: Dice;
  readonly result: SweepResult = {
    flipped: 0,
    archiveBytes: 0,
    repoRuns: 0,
    dryRuns: 0,
    escaped: [],
  };
  #expected = '';

  constructor(bench: DamageBench, options: { lane: number; lanes: number; seed: number }) {
    this.#bench = bench;
    this.#lane = options.lane;
    this.#lanes = options.lanes;
    this.#dice = new Dice(options.seed + options.lane);
  }

  /** Flips the bytes of this lane: every `lanes`-th one. */
  async run(): Promise<SweepResult> {
    using catalog = await this.#bench.freshCatalog();
    this.#expected = summaryOf(await this.#bench.dryRun(catalog));
    for (const key of this.#bench.store.keys()) this.result.archiveBytes += this.#sizeOf(key);
    await this.#bodiesInRepo();
    for (const body of this.#bench.archive.bodies) await this.#bodyInRestore(body, catalog);
    for (const key of this.#bench.store.keys()) await this.#head(key, catalog);
    return this.result;
  }

  /** Every body has one flip at a time; all of them are to be found together. */
  async #bodiesInRepo(): Promise<void> {
    const { bodies } = this.#bench.archive;
    const longest = Math.max(...bodies.map(({ key, start }) => this.#sizeOf(key) - start));
    for (let at = this.#lane; at < longest; at += this.#lanes) {
      const flips = bodies
        .map(({ key, start }) => ({ key, at: start + at }))
        .filter((flip) => flip.at < this.#sizeOf(flip.key));
      this.result.flipped += flips.length;
      await this.#damaged(flips, () => this.#repoFinds(flips));
    }
  }

  async #bodyInRestore(body: TinyBody, catalog: Catalog): Promise<void> {
    const { key, start, inEntry, needed } = body;
    const step = this.#lanes * (needed ? 1 : UNNEEDED_STEP);
    for (let at = start + this.#lane; at < this.#sizeOf(key); at += step) {
      const flip = { key, at };
      const fresh = inEntry && Math.floor(at / step) % FRESH_STEP === 0;
      const known = fresh ? undefined : catalog;
      await this.#damaged([flip], () => this.#restoreFinds(flip, needed, known));
    }
  }

  /** What is no body: record, log entries up to their body, wrapped keys. */
  async #head(key: string, catalog: Catalog): Promise<void> {
    const { bodies, unneededKey } = this.#bench.archive;
    const end = bodies.find((body) => body.key === key)?.start ?? this.#sizeOf(key);
    const known = key.startsWith('v1/keys/') ? catalog : undefined;
    for (let at = this.#lane; at < end; at += this.#lanes) {
      const flip = { key, at };
      this.result.flipped += 1;
      await this.#damaged([flip], async () => {
        await this.#repoFinds([flip]);
        await this.#restoreFinds(flip, key !== unneededKey, known);
      });
    }
  }

  async #repoFinds(flips: readonly Flip[]): Promise<void> {
    this.result.repoRuns += 1;
    const { faultCount, faults } = await this.#bench.repo();
    const said = faults.map(({ exitCode, message }) => `${exitCode} ${message}`).join('; ');
    for (const { key, at } of flips) {
      const found = faults.filter(({ message }) => message.includes(key));
      const right = found.length === 1 && found.every((fault) => isRefusal(fault.exitCode, key));
      if (!right) this.#escape(`${key} byte ${at}: repo verify said "${said}"`);
    }
    // More than was damaged may fall with it only when a log cannot be followed any more.
    if (flips.length > 1 && faultCount !== flips.length) {
      this.#escape(`${flips.length} flips, repo verify said "${said}"`);
    }
  }

  async #restoreFinds({ key, at }: Flip, needed: boolean, known?: Catalog): Promise<void> {
    this.result.dryRuns += 1;
    try {
      const planned = summaryOf(await this.#bench.dryRun(known));
      if (!needed && planned === this.#expected) return;
      this.#escape(`${key} byte ${at}: the dry run ended with ${planned}`);
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      if (isRefusal(error.exitCode, key) && error.message.includes(key)) return;
      this.#escape(`${key} byte ${at}: the dry run ended with ${error.code} ${error.message}`);
    }
  }

  async #damaged(flips: readonly Flip[], look: () => Promise<void>): Promise<void> {
    const { store } = this.#bench;
    const before = flips.map(({ key }) => [key, store.objects.get(key) ?? null] as const);
    for (const { key, at } of flips) {
      const bytes = Buffer.from(store.objects.get(key) ?? []);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#dice.between(0, 7));
      store.tamper(key, bytes);
    }
    await look();
    for (const [key, bytes] of before) store.tamper(key, bytes);
  }

  #sizeOf(key: string): number {
    return this.#bench.store.objects.get(key)?.length ?? 0;
  }

  #escape(sentence: string): void {
    if (this.result.escaped.length < ESCAPED_MAX) this.result.escaped.push(sentence);
  }
}

/** Damage is exit 14; a wrapped key that names another key of the ring is a missing key, 12. */
export function isRefusal(exitCode: number, key: string): boolean {
  return exitCode === 14 || (exitCode === 12 && key.startsWith('v1/keys/'));
}

/** What a dry run plans: where it stops and how much it feeds. */
export function summaryOf(report: {
  readonly at: string | null;
  readonly cut: unknown;
  readonly keys: number;
  readonly commands: number;
  readonly bytes: number;
}): string {
  const { at, cut, keys, commands, bytes } = report;
  return JSON.stringify({ at, cut, keys, commands, bytes });
}
