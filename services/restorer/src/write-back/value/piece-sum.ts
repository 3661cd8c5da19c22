import type { UndoPiece } from '@tidemark/archive';
import { ContentSum } from './content-digest.ts';

/** Place of the time among the words of an XCLAIM. */
const CLAIM_TIME = 6;
/** Words of an HPEXPIREAT before its fields: time, FIELDS, how many. */
const EXPIRY_WORDS = 3;

/**
 * Digests a value by the commands that build it. But for streams it is the digest that its DUMP has
 * (`contentDigest`), however the pieces are cut.
 */
export class PieceSum {
  readonly #type: string;
  readonly #sum = new ContentSum();
  /** Fields of the latest HSET: their expiries come behind it. */
  #fields: readonly Buffer[] = [];
  readonly #expiries = new Map<string, number>();

  constructor(type: string) {
    this.#type = type;
    this.#sum.begin(KINDS[type] ?? 'raw');
  }

  add({ command, args }: UndoPiece): void {
    switch (command) {
      case 'APPEND':
        for (const part of args) this.#sum.part(part, 0, part.length);
        return;
      case 'RPUSH':
      case 'SADD':
        for (const element of args) this.#group(element);
        return;
      case 'ZADD':
        for (let i = 0; i + 1 < args.length; i += 2) {
          const [score, member] = [at(args, i), at(args, i + 1)];
          this.#group(member, doubleBytes(score.toString('latin1')));
        }
        return;
      case 'HSET':
        this.#settleFields();
        this.#fields = args;
        return;
      case 'HPEXPIREAT':
        for (const field of args.slice(EXPIRY_WORDS)) {
          this.#expiries.set(field.toString('latin1'), Number(at(args, 0).toString()));
        }
        return;
      default:
        this.#words(command, args);
    }
  }

  /** Elements, members or fields so far. */
  get groups(): number {
    this.#settleFields();
    return this.#sum.groups;
  }

  /** To be asked once, after the last piece. */
  digest(): Buffer {
    this.#settleFields();
    if (this.#type === 'string' || this.#type === 'stream') this.#sum.endGroup();
    return this.#sum.digest();
  }

  #words(command: string, args: readonly Buffer[]): void {
    for (const [i, word] of [Buffer.from(command), ...args].entries()) {
      // Times of delivery are told as ages: not the same at every reading.
      if (command !== 'XCLAIM' || i !== CLAIM_TIME) this.#sum.part(word, 0, word.length);
    }
  }

  #settleFields(): void {
    for (let i = 0; i + 1 < this.#fields.length; i += 2) {
      const field = at(this.#fields, i);
      const expiryMs = this.#expiries.get(field.toString('latin1')) ?? 0;
      this.#group(field, at(this.#fields, i + 1), timeBytes(expiryMs));
    }
    this.#fields = [];
    this.#expiries.clear();
  }

  #group(...parts: readonly Buffer[]): void {
    for (const part of parts) this.#sum.part(part, 0, part.length);
    this.#sum.endGroup();
  }
}

const KINDS: Readonly<Record<string, 'string' | 'list' | 'set' | 'zset' | 'hash' | 'stream'>> = {
  string: 'string',
  list: 'list',
  set: 'set',
  zset: 'zset',
  hash: 'hash',
  stream: 'stream',
};

function at(args: readonly Buffer[], index: number): Buffer {
  return args[index] ?? Buffer.alloc(0);
}

function doubleBytes(text: string): Buffer {
  const bytes = Buffer.alloc(8);
  const infinite = /^[+-]?inf/i.test(text);
  bytes.writeDoubleLE(infinite ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text));
  return bytes;
}

function timeBytes(expiryMs: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(expiryMs));
  return bytes;
}
