const BLOCK_COMMANDS = 4_096;
const SEED = 0x2f6e_2b1d;
const HOUR_MS = 3_600_000;
const TEXT_CHARS = 64 * 1024;

/** Numbers that look random and are the same every time (Lehmer generator). */
export class Lehmer {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (this.#state * 48_271) % 0x7fff_ffff;
    return this.#state % limit;
  }
}

/** Builds RESP commands block by block: the same bytes every time, at about a million a second. */
export class CommandMaker {
  /** Commands of a block. */
  static readonly blockCommands: number = BLOCK_COMMANDS;
  readonly #filler: string;
  readonly #nowMs: number;
  readonly #random = new Lehmer(SEED);
  #made = 0;

  /**
   * @param nowMs - Unix milliseconds; expiries lie after it.
   * @param textChars - Values are parts of a text of so many characters: one that is longer than a
   *   compressor looks back gives values that pack like tokens, not like copies of each other.
   */
  constructor(nowMs: number, textChars: number = TEXT_CHARS) {
    this.#nowMs = nowMs;
    let filler = '';
    while (filler.length < textChars) filler += this.#below(0x7fff_ffff).toString(36);
    this.#filler = filler;
  }

  /** Commands made so far. */
  get made(): number {
    return this.#made;
  }

  /** Commands that make `count` keys: strings, a fifth with an expiry, and every other type. */
  *base(count: number): Generator<Buffer> {
    for (let from = 0; from < count; from += BLOCK_COMMANDS) {
      const parts: string[] = [];
      const to = Math.min(count, from + BLOCK_COMMANDS);
      for (let index = from; index < to; index += 1) parts.push(this.#newKey(index));
      yield this.#block(parts);
    }
  }

  /** Commands over the keys of `base` and new ones, as an application sends them. */
  *log(count: number, keys: number): Generator<Buffer> {
    for (let from = 0; from < count; from += BLOCK_COMMANDS) {
      const parts: string[] = [];
      const to = Math.min(count, from + BLOCK_COMMANDS);
      while (parts.length < to - from) this.#work(parts, keys);
      yield this.#block(parts);
    }
  }

  #block(parts: readonly string[]): Buffer {
    this.#made += parts.length;
    return Buffer.from(parts.join(''), 'latin1');
  }

  #newKey(index: number): string {
    const id = idOf(index);
    const kind = index % 20;
    if (kind < 9) return command('SET', `session:${id}`, this.#text(32, 64));
    if (kind < 13) {
      return command('SET', `cache:${id}`, this.#text(24, 72), 'PXAT', this.#later());
    }
    if (kind < 16) {
      return command('HSET', `user:${id}`, 'name', this.#text(8, 16), 'seen', id, 'plan', 'basic');
    }
    if (kind === 16) return command('RPUSH', `queue:${id}`, this.#text(12, 24), this.#text(12, 24));
    if (kind === 17) return command('SADD', `tags:${id}`, this.#text(6, 12), this.#text(6, 12));
    if (kind === 18) return command('ZADD', `rank:${id}`, `${index % 997}`, this.#text(8, 12));
    return command(
      'XADD',
      `events:${id}`,
      `${index + 1}-1`,
      'kind',
      'made',
      'by',
      this.#text(8, 16),
    );
  }

  /** Adds one command, or a transaction of several. */
  #work(parts: string[], keys: number): void {
    const index = this.#below(keys);
    const at = index - (index % 20);
    switch (this.#below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return void parts.push(command('SET', `session:${idOf(at)}`, this.#text(96, 224)));
      case 4:
        return void parts.push(
          command('SET', `cache:${idOf(at + 9)}`, this.#text(96, 224), 'PXAT', this.#later()),
        );
      case 5:
      case 6:
        return void parts.push(command('INCRBY', `count:${this.#below(50_000)}`, `${at % 90}`));
      case 7:
      case 8:
        return void parts.push(
          command(
            'HSET',
            `user:${idOf(at + 13)}`,
            'seen',
            `${this.#made}`,
            'from',
            this.#text(16, 48),
          ),
        );
      case 9:
        return void parts.push(command('RPUSH', `queue:${idOf(at + 16)}`, this.#text(48, 144)));
      case 10:
        return void parts.push(command('LPOP', `queue:${idOf(at + 16)}`));
      case 11:
        return void parts.push(command('SADD', `tags:${idOf(at + 17)}`, this.#text(6, 12)));
      case 12:
        return void parts.push(command('ZINCRBY', `rank:${idOf(at + 18)}`, '3', this.#text(8, 8)));
      case 13:
        return void parts.push(command('DEL', `session:${idOf(at + 1)}`));
      case 14:
        return void parts.push(command('PEXPIREAT', `session:${idOf(at + 2)}`, this.#later()));
      default:
        parts.push(
          command('MULTI'),
          command('HSET', `user:${idOf(at + 14)}`, 'plan', this.#text(4, 8)),
          command('INCR', 'plans:changed'),
          command('EXEC'),
        );
    }
  }

  /** An expiry of one to eleven hours from the start. */
  #later(): string {
    return `${this.#nowMs + HOUR_MS + this.#below(10 * HOUR_MS)}`;
  }

  #text(min: number, max: number): string {
    const length = min + this.#below(max - min + 1);
    const at = this.#below(this.#filler.length - length);
    return this.#filler.slice(at, at + length);
  }

  #below(limit: number): number {
    return this.#random.below(limit);
  }
}

/** One command as RESP, of ASCII arguments. */
export function command(...args: readonly string[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${arg.length}\r\n${arg}\r\n`;
  return text;
}

function idOf(index: number): string {
  return String(index).padStart(9, '0');
}
