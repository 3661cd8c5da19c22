import type { KeyDifference } from '../key-difference.ts';
import type { CompareSelectedOptions } from './compare-selected.ts';
import { showsFields } from './content/same-hash.ts';
import { holdsFieldTtl, type Doubtful, type ValueJudge } from './judge-values.ts';
import {
  HIDDEN,
  readSizes,
  readStates,
  stateOf,
  valueOf,
  DUMP_BYTES_MAX,
  type FoundKey,
  type KeySize,
} from './read-states.ts';
import type { Side } from './side.ts';

/** Values that are held at once, of both sides together. */
const GROUP_BYTES_MAX = 2 * DUMP_BYTES_MAX;
/** Servers before 7.0 tell no expiry, only the time that is left: reckoned, it is off by a little. */
const RECKONED_OFF_MS = 5;

/** What pages are compared with. */
export interface PageComparerOptions extends CompareSelectedOptions {
  readonly then: Side;
  readonly live: Side;
  readonly judge: ValueJudge;
}

/** A key of a page with its sizes. */
interface Measured {
  readonly key: Buffer;
  readonly then: KeySize | null;
  readonly live: KeySize | null;
}

/** A key of a page as it is on both sides. */
interface Both {
  readonly key: Buffer;
  readonly then: FoundKey | null;
  readonly live: FoundKey | null;
}

/** Compares keys of a database by their names, a page at a time. */
export class PageComparer {
  readonly #options: PageComparerOptions;

  constructor(options: PageComparerOptions) {
    this.#options = options;
  }

  /** @returns The differences; null results and same ones left out. At most as many as keys. */
  async *compare(db: number, keys: readonly Buffer[]): AsyncGenerator<readonly KeyDifference[]> {
    if (keys.length === 0) return;
    this.#options.signal.throwIfAborted();
    const measured = await this.#measure(db, keys);
    for (const group of groupsOf(measured)) {
      const differences = await this.#compareGroup(db, group);
      if (differences.length > 0) yield differences;
    }
  }

  /** Those of some keys that `then` does not show, hidden ones included. */
  async absentOnly(db: number, keys: readonly Buffer[]): Promise<readonly Buffer[]> {
    if (keys.length === 0) return [];
    const { then } = this.#options;
    // Mostly all are there: then one command says so.
    if ((await then.ask(db, ['EXISTS', ...keys])) === keys.length) return [];
    const found = await then.askAll(
      db,
      keys.map((key) => ['EXISTS', key]),
    );
    return keys.filter((_, i) => found[i] !== 1);
  }

  async #measure(db: number, keys: readonly Buffer[]): Promise<readonly Measured[]> {
    const { then, live, selector } = this.#options;
    const [sizesThen, sizesLive] = await Promise.all([
      readSizes(then, db, keys, selector.hasTypes),
      readSizes(live, db, keys, selector.hasTypes),
    ]);
    const measured = keys.map((key, i) => ({
      key,
      then: sizesThen[i] ?? null,
      live: sizesLive[i] ?? null,
    }));
    if (!selector.hasTypes) return measured;
    return measured.filter((one) => {
      const type = this.#typeOf(db, one);
      return type !== null && selector.matchesType(type);
    });
  }

  /**
   * The type at the point; the type now of a key that was not there. Null: the key was there and
   * has expired since. No server tells its type any more, so what stands there now is left alone.
   */
  #typeOf(db: number, { key, then, live }: Measured): string | null {
    const hidden = then?.type === HIDDEN && this.#options.wasDead?.(db, key) !== true;
    return hidden ? null : (typeOf(then) ?? typeOf(live));
  }

  async #compareGroup(db: number, group: readonly Measured[]): Promise<readonly KeyDifference[]> {
    const { then, live, judge, onSame } = this.#options;
    const keys = group.map(({ key }) => key);
    const [inThen, inLive] = await Promise.all([
      readStates(
        then,
        db,
        keys,
        group.map(({ then: size }) => size),
      ),
      readStates(
        live,
        db,
        keys,
        group.map(({ live: size }) => size),
      ),
    ]);
    const differences: KeyDifference[] = [];
    const doubtful: Doubtful[] = [];
    let same = 0;
    for (const [i, key] of keys.entries()) {
      let both: Both = { key, then: inThen[i] ?? null, live: shown(inLive[i] ?? null) };
      let outcome = this.#outcomeOf(db, both);
      if (outcome !== 'same' && (await this.#isEmpty(db, both))) {
        both = { ...both, then: both.then && { ...both.then, type: HIDDEN, payload: null } };
        outcome = this.#outcomeOf(db, both);
      }
      if (outcome === 'same') same += 1;
      else if (outcome === 'doubtful') doubtful.push(both as Doubtful);
      else if (outcome !== 'nothing') differences.push(this.#tell(db, both, outcome));
    }
    const verdicts = await judge.same(db, doubtful);
    for (const [i, both] of doubtful.entries()) {
      if (verdicts[i] === true) same += 1;
      else differences.push(this.#tell(db, both, 'changed'));
    }
    if (same > 0) onSame?.(same);
    return differences;
  }

  #outcomeOf(
    db: number,
    { key, then, live }: Both,
  ): KeyDifference['outcome'] | 'doubtful' | 'nothing' {
    const { nowMs } = this.#options;
    if (then === null || this.#wasDead(db, key, then)) return live === null ? 'nothing' : 'created';
    const expired = then.expiryMs !== null && then.expiryMs <= nowMs();
    if (then.type === HIDDEN || expired) return 'expired';
    if (live === null) return 'missing';
    if (then.type !== live.type || !this.#sameExpiry(then, live)) return 'changed';
    const [a, b] = [then.payload, live.payload];
    const equal = a !== null && b !== null && valueOf(a).equals(valueOf(b));
    return equal ? 'same' : 'doubtful';
  }

  /**
   * Whether `then` keeps a hash of which every field has expired, and shows none of them: a replica
   * does. It is to be taken for a hidden key.
   */
  async #isEmpty(db: number, { key, then: found }: Both): Promise<boolean> {
    const payload = found?.type === 'hash' ? found.payload : null;
    if (payload === null || !holdsFieldTtl(payload)) return false;
    return !(await showsFields(this.#options.then, db, key));
  }

  /** Whether it had expired at the point. */
  #wasDead(db: number, key: Buffer, { type, expiryMs }: FoundKey): boolean {
    const { atMs = -Infinity, wasDead } = this.#options;
    if (type === HIDDEN) return wasDead?.(db, key) === true;
    return expiryMs !== null && expiryMs <= atMs;
  }

  #sameExpiry({ expiryMs: a }: FoundKey, { expiryMs: b }: FoundKey): boolean {
    const { then, live } = this.#options;
    if (a === null || b === null) return a === b;
    const exact = then.abilities.exactExpiry && live.abilities.exactExpiry;
    return Math.abs(a - b) <= (exact ? 0 : RECKONED_OFF_MS);
  }

  #tell(db: number, { key, then, live }: Both, outcome: KeyDifference['outcome']): KeyDifference {
    return {
      db,
      key,
      outcome,
      then: then === null || outcome === 'created' ? null : stateOf(then),
      live: live === null ? null : stateOf(live),
    };
  }
}

/** What a replica hides is not there for anybody. */
function shown(found: FoundKey | null): FoundKey | null {
  return found?.type === HIDDEN ? null : found;
}

function typeOf(size: KeySize | null): string | null {
  return size === null || size.type === HIDDEN ? null : size.type;
}

/** Cuts a page so that the values of a group fit into memory. */
function* groupsOf(measured: readonly Measured[]): Generator<readonly Measured[]> {
  let group: Measured[] = [];
  let bytes = 0;
  for (const one of measured) {
    const own = dumped(one.then) + dumped(one.live);
    if (group.length > 0 && bytes + own > GROUP_BYTES_MAX) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(one);
    bytes += own;
  }
  if (group.length > 0) yield group;
}

function dumped(size: KeySize | null): number {
  return size === null || size.bytes > DUMP_BYTES_MAX ? 0 : size.bytes;
}
