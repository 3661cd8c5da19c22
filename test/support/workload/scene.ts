import type { Argument } from '@tidemark/client';
import type { Dice } from './dice.ts';

/** A command with its arguments. */
export type Words = readonly Argument[];

/** Names of one kind of key; small, so that commands meet each other's keys. */
const NAMES = 9;

/**
 * Expiries fall into this part of a second only (milliseconds), so that the rest of it is quiet and
 * the dataset at its end can be read.
 */
const EXPIRY_FROM_MS = 250;
const EXPIRY_TO_MS = 560;

/** What an operation draws from: keys, values and times. */
export class Scene {
  readonly dice: Dice;
  /** Server time in Unix milliseconds, as known when the batch was made. */
  readonly nowMs: number;
  readonly databases: number;

  constructor(dice: Dice, nowMs: number, databases: number) {
    this.dice = dice;
    this.nowMs = nowMs;
    this.databases = databases;
  }

  /** A key of a kind; every third has bytes that are not text. */
  key(kind: string): Argument {
    return nameOf(kind, this.dice.between(0, NAMES - 1));
  }

  /** Several keys of a kind, some of them the same. */
  keys(kind: string, count: number): Argument[] {
    return Array.from({ length: count }, () => this.key(kind));
  }

  /** A small value: numbers, text, bytes; now and then some kilobytes. */
  value(): Argument {
    const { dice } = this;
    switch (dice.between(0, 9)) {
      case 0:
        return dice.between(-1_000_000, 1_000_000);
      case 1:
        return '';
      case 2:
        return dice.bytes(dice.between(1, 40));
      case 3:
        return Buffer.from('*1\r\n$4\r\nEXEC\r\n#TS:1\r\n');
      case 4:
        return dice.once(8) ? dice.bytes(dice.between(1_000, 30_000)) : 'x'.repeat(300);
      default:
        return `value ${dice.between(0, 99_999)}`;
    }
  }

  /** A member or field name. */
  member(): Argument {
    const number = this.dice.between(0, 30);
    return number % 7 === 0 ? Buffer.from([0xff, number, 0, 13, 10]) : `member-${number}`;
  }

  score(): string {
    return this.dice.pick(['-inf', '+inf', '0', '1.5', '-2.25', '1e10', '3', '7', '12.000001']);
  }

  /** Unix milliseconds some seconds ahead, in the part of a second that is not quiet. */
  expiryMs(): number {
    const { dice } = this;
    const ahead = dice.once(3) ? dice.between(30, 90_000) : dice.between(1, 6);
    const second = Math.floor(this.nowMs / 1000) + ahead;
    return second * 1000 + dice.between(EXPIRY_FROM_MS, EXPIRY_TO_MS);
  }

  /** The same as milliseconds from now. */
  lifeMs(): number {
    return Math.max(1, this.expiryMs() - this.nowMs);
  }

  /** Unix seconds far ahead: whole seconds would fall on the quiet part. */
  farSecond(): number {
    return Math.floor(this.nowMs / 1000) + this.dice.between(3_600, 360_000);
  }
}

/** The key of a kind with a number. */
export function nameOf(kind: string, number: number): Argument {
  return number % 3 === 2
    ? Buffer.from(`${kind}\r\n\0\xfe:${number}`, 'latin1')
    : `${kind}:${number}`;
}
