import { shownKey } from '@tidemark/selector';
import type { NodeClient } from '@tidemark/client';
import { diffInner, diffModuleValue, type Pair } from './inner-facts.ts';
import {
  databaseSizes,
  OWN_TYPES,
  readAbilities,
  readKeyFacts,
  scanKeys,
  type KeyFacts,
} from './key-facts.ts';

const PAGE_KEYS = 500;

/** Something that is not the same on both sides. */
export interface Difference {
  readonly db: number | null;
  /** Bytes that are not printable ASCII as `\xNN`; null = not one key. */
  readonly key: string | null;
  readonly what: string;
}

/** What a comparison found. */
export interface Comparison {
  /** Keys of the first server that were compared. */
  readonly keys: number;
  /** The first ones; empty = equal. */
  readonly differences: readonly Difference[];
}

/** How two servers are compared. */
export interface CompareOptions {
  /** The comparison ends with the difference that is the last one allowed. */
  readonly differencesMax: number;
  readonly signal: AbortSignal;
  readonly onProgress: (keys: number) => void;
}

/**
 * Compares everything that two servers hold: values, expiries, expiries of hash fields, streams with
 * their groups, functions. Left out is what docs/promises.md leaves out.
 *
 * Nobody may write to them meanwhile, and both must allow DEBUG, which blocks them for the time of a
 * digest: it is made for servers that were started for this. Keys whose expiry passes while it runs
 * are no difference. Keys are read in pages, and of no value more than a page: memory does not grow
 * with the data, but for values of modules.
 * @throws NodeError when a server leaves or refuses.
 */
export async function compareDatasets(
  a: NodeClient,
  b: NodeClient,
  options: CompareOptions,
): Promise<Comparison> {
  const run = new ComparisonRun(a, b, options);
  return run.compare();
}

class ComparisonRun {
  readonly #a: NodeClient;
  readonly #b: NodeClient;
  readonly #options: CompareOptions;
  readonly #differences: Difference[] = [];
  #keys = 0;

  constructor(a: NodeClient, b: NodeClient, options: CompareOptions) {
    this.#a = a;
    this.#b = b;
    this.#options = options;
  }

  async compare(): Promise<Comparison> {
    const [a, b] = [this.#a, this.#b];
    const pair: Pair = { a, b, abilities: await readAbilities(a) };
    const [sizesA, sizesB] = [await databaseSizes(a), await databaseSizes(b)];
    for (const db of new Set([...sizesA.keys(), ...sizesB.keys()])) {
      if (this.#enough()) break;
      await Promise.all([a.call('SELECT', db), b.call('SELECT', db)]);
      await this.#database(pair, db);
      await this.#otherKeys(db);
      const [inA, inB] = [sizesA.get(db) ?? 0, sizesB.get(db) ?? 0];
      if (inA !== inB) this.#add(db, null, `${inA.toString()} keys, not ${inB.toString()}`);
    }
    if (pair.abilities.functions) await this.#functions();
    if (this.#differences.length === 0) await this.#whole();
    return { keys: this.#keys, differences: this.#differences };
  }

  async #database(pair: Pair, db: number): Promise<void> {
    for await (const keys of scanKeys(this.#a, PAGE_KEYS)) {
      this.#options.signal.throwIfAborted();
      const [inA, inB] = await Promise.all([
        readKeyFacts(this.#a, keys),
        readKeyFacts(this.#b, keys),
      ]);
      for (const [i, key] of keys.entries()) {
        const what = await diffKey(pair, key, inA[i] ?? null, inB[i] ?? null);
        // An expiry may have passed between the two: what differs is looked at again.
        if (what !== null) await this.#again(pair, db, key);
        if (this.#enough()) return;
      }
      this.#keys += keys.length;
      this.#options.onProgress(this.#keys);
    }
  }

  async #again(pair: Pair, db: number, key: Buffer): Promise<void> {
    const [[inA], [inB]] = await Promise.all([
      readKeyFacts(this.#a, [key]),
      readKeyFacts(this.#b, [key]),
    ]);
    const what = await diffKey(pair, key, inA ?? null, inB ?? null);
    if (what !== null) this.#add(db, key, what);
  }

  /** Keys that only the second server holds. */
  async #otherKeys(db: number): Promise<void> {
    if (this.#enough()) return;
    for await (const keys of scanKeys(this.#b, PAGE_KEYS)) {
      this.#options.signal.throwIfAborted();
      const missing = keys.filter(isAbsent(await exist(this.#a, keys)));
      const still = await exist(this.#b, missing);
      for (const [i, key] of missing.entries()) {
        if (still[i] === true) this.#add(db, key, 'only in the second');
        if (this.#enough()) return;
      }
    }
  }

  async #functions(): Promise<void> {
    const [inA, inB] = await Promise.all([librariesOf(this.#a), librariesOf(this.#b)]);
    for (const name of new Set([...inA.keys(), ...inB.keys()])) {
      if (this.#enough()) return;
      if (inA.get(name) !== inB.get(name)) this.#add(null, null, 'a library of functions');
    }
  }

  /** Also keys that are expired but still there, which no key command shows. */
  async #whole(): Promise<void> {
    const [inA, inB] = await Promise.all([
      this.#a.call('DEBUG', 'DIGEST'),
      this.#b.call('DEBUG', 'DIGEST'),
    ]);
    if (inA !== inB) this.#add(null, null, 'keys that are expired but still there');
  }

  #enough(): boolean {
    return this.#differences.length >= this.#options.differencesMax;
  }

  #add(db: number | null, key: Buffer | null, what: string): void {
    if (this.#enough()) return;
    this.#differences.push({ db, key: key === null ? null : shownKey(key), what });
  }
}

async function diffKey(
  pair: Pair,
  key: Buffer,
  inA: KeyFacts | null,
  inB: KeyFacts | null,
): Promise<string | null> {
  if (inA === null) return inB === null ? null : 'only in the second';
  if (inB === null) return 'only in the first';
  if (inA.type !== inB.type) return `${inA.type}, not ${inB.type}`;
  if (inA.expiryMs !== inB.expiryMs) return 'expiry';
  if (inA.digest !== inB.digest) return 'value';
  return OWN_TYPES.has(inA.type) ? diffInner(pair, key, inA.type) : diffModuleValue(pair, key);
}

async function exist(client: NodeClient, keys: readonly Buffer[]): Promise<readonly boolean[]> {
  const replies = await client.pipeline(keys.map((key) => ['EXISTS', key]));
  return replies.map((reply) => {
    if (reply instanceof Error) throw reply;
    return reply === 1;
  });
}

function isAbsent(found: readonly boolean[]): (_: Buffer, i: number) => boolean {
  return (_, i) => found[i] !== true;
}

async function librariesOf(client: NodeClient): Promise<ReadonlyMap<string, string>> {
  const reply = (await client.call('FUNCTION', 'LIST', 'WITHCODE')) as readonly unknown[][];
  const valueOf = (library: unknown[], name: string): string =>
    String(library[library.indexOf(name) + 1]);
  return new Map(
    reply.map((library) => [valueOf(library, 'library_name'), valueOf(library, 'library_code')]),
  );
}
