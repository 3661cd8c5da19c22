import type { Argument } from '@tidemark/client';
import { Scene } from './scene.ts';

/** Numbers in names: few, so that the keys of a kind meet again and again. */
const NUMBERS: readonly number[] = [3, 7, 12, 41, 305];

/** Names by kind, `*` standing for a number. Some hold bytes that are not text. */
const NAMES = {
  name: 'user:*:name',
  visits: 'user:*:visits',
  cart: 'user:*:cart',
  profile: 'user:*:profile',
  session: 'session:*\xff\0',
  tags: 'tags:*',
  board: 'board/*',
  place: 'place.*',
  events: 'events:{*}',
  bits: '\xfe\0bits\r\n*',
  hll: 'hll-*',
  ids: 'list of ids *',
  weight: 'weight:*',
} as const;

/** What a key is for; the keys of one kind are of one type, mostly. */
export type Kind = keyof typeof NAMES;

export const KINDS: readonly Kind[] = Object.keys(NAMES) as readonly Kind[];

/** Short lives pass while the history is recorded, or just after. */
const SHORT_MS_MAX = 1_200;
/** Once in so many times the second key is of another kind. */
const STRANGER_ONCE_IN = 25;

/** The key of a kind with one of the numbers. */
function dependencyKey(kind: Kind, number: number): Buffer {
  return Buffer.from(NAMES[kind].replace('*', number.toString()), 'latin1');
}

/** All keys of a kind. */
export function dependencyKeys(kind: Kind): Buffer[] {
  return NUMBERS.map((number) => dependencyKey(kind, number));
}

/** What an operation on keys that depend on each other draws from. */
export class DependencyScene extends Scene {
  of(kind: Kind): Buffer {
    return dependencyKey(kind, this.number());
  }

  /** One of the numbers in names. */
  number(): number {
    return this.dice.pick(NUMBERS);
  }

  /** Several keys of a kind, some of them the same. */
  several(kind: Kind, count: number): Buffer[] {
    return Array.from({ length: count }, () => this.of(kind));
  }

  /** Two keys of one kind; now and then the second is of another. */
  pair(): readonly [Buffer, Buffer] {
    const kind = this.dice.pick(KINDS);
    const other = this.dice.once(STRANGER_ONCE_IN) ? this.dice.pick(KINDS) : kind;
    return [this.of(kind), this.of(other)];
  }

  /** Keys of any kinds. */
  any(count: number): Buffer[] {
    return Array.from({ length: count }, () => this.of(this.dice.pick(KINDS)));
  }

  db(): number {
    return this.dice.between(0, this.databases - 1);
  }

  /** A short life in milliseconds, now and then a long one. */
  override lifeMs(): number {
    return this.dice.once(3)
      ? this.dice.between(600_000, 900_000)
      : this.dice.between(1, SHORT_MS_MAX);
  }

  /** A value that tells where it came from; bytes now and then. */
  override value(): Argument {
    const { dice } = this;
    if (dice.once(6)) return dice.bytes(dice.between(1, 24));
    return `v${dice.between(0, 99_999).toString()}`;
  }

  scored(count: number): Argument[] {
    return Array.from({ length: count }, () => [this.score(), this.member()]).flat();
  }

  /** As many weights as there are keys. */
  weights(count: number): Argument[] {
    return Array.from({ length: count }, () => this.dice.pick(['1', '2', '-1.5', '0']));
  }
}
