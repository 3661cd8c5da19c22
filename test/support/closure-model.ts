import type { Dice } from './workload/dice.ts';

/** One command of a log, as words. */
export type Words = readonly string[];

const KEYS = ['a', 'b', 'c', 'd', 'e', 'long:1', 'long:2'];

/**
 * A few commands of a server over a few keys, so simple that it cannot be wrong: what a replay of a
 * part of a log is held against. Values are texts; a read of another key copies its text, so that a
 * wrong value anywhere before is seen.
 */
export class ModelServer {
  readonly #databases: Map<string, string>[];

  constructor(databases: number) {
    this.#databases = Array.from({ length: databases }, () => new Map<string, string>());
  }

  put(db: number, key: string, value: string): void {
    this.#keys(db).set(key, value);
  }

  /** Every key: database, name and value. */
  entries(): readonly (readonly [db: number, key: string, value: string])[] {
    return this.#databases.flatMap((keys, db) =>
      [...keys].map(([key, value]) => [db, key, value] as const),
    );
  }

  /** Runs a command in a database; false when it lacks the key that it needs. */
  run(db: number, [name = '', ...args]: Words): boolean {
    const keys = this.#keys(db);
    const [first = '', second = ''] = args;
    switch (name) {
      case 'SET':
        keys.set(first, second);
        return true;
      case 'APPEND':
        keys.set(first, (keys.get(first) ?? '') + second);
        return true;
      case 'MSET':
        for (let at = 0; at + 1 < args.length; at += 2)
          keys.set(args[at] ?? '', args[at + 1] ?? '');
        return true;
      case 'DEL':
        for (const key of args) keys.delete(key);
        return true;
      case 'RENAME':
        return this.#carry(keys, first, keys, second, true);
      case 'COPY':
        return this.#carry(keys, first, this.#keys(Number(args[3] ?? db)), second, false);
      case 'MOVE': {
        const target = this.#keys(Number(second));
        return (
          target !== keys && !target.has(first) && this.#carry(keys, first, target, first, true)
        );
      }
      case 'SUNIONSTORE':
        keys.set(
          first,
          args
            .slice(1)
            .map((key) => keys.get(key) ?? '')
            .join('+'),
        );
        return true;
      case 'SORT': // key BY pattern STORE target: reads whatever it likes
        keys.set(
          args[4] ?? '',
          [...keys]
            .sort()
            .map(([key, value]) => key + value)
            .join('|'),
        );
        return true;
      case 'SWAPDB': {
        const [one, other] = [this.#keys(Number(first)), this.#keys(Number(second))];
        this.#databases[Number(first)] = other;
        this.#databases[Number(second)] = one;
        return true;
      }
      case 'FLUSHDB':
        keys.clear();
        return true;
      case 'FLUSHALL':
        for (const each of this.#databases) each.clear();
        return true;
      default:
        return ['SELECT', 'MULTI', 'EXEC'].includes(name);
    }
  }

  #carry(
    from: Map<string, string>,
    source: string,
    to: Map<string, string>,
    target: string,
    removes: boolean,
  ): boolean {
    const value = from.get(source);
    if (value === undefined) return false;
    if (removes) from.delete(source);
    to.set(target, value);
    return true;
  }

  #keys(db: number): Map<string, string> {
    const keys = this.#databases[db];
    if (keys === undefined) throw new Error(`no database ${db.toString()}`);
    return keys;
  }
}

/** How often the commands that reach everything come: once in so many; 0 = never. */
export interface GlobalOdds {
  readonly flushOnceIn: number;
  readonly sortOnceIn: number;
}

/**
 * Makes a log of commands that each had an effect, as a server writes it, in several databases, some
 * in transactions, with values of all sizes.
 */
export function makeLog(
  dice: Dice,
  server: ModelServer,
  options: { readonly commands: number; readonly databases: number } & GlobalOdds,
): readonly Words[] {
  const log: Words[] = [];
  let db = 0;
  let open = 0;
  for (let made = 0; made < options.commands;) {
    if (open === 0 && dice.between(0, 12 - 1) === 0) {
      log.push(['MULTI']);
      open = 1 + dice.between(0, 4 - 1);
    }
    const words = randomCommand(dice, made, options);
    if (words[0] === 'SELECT') db = Number(words[1]);
    if (!server.run(db, words)) continue;
    log.push(words);
    made += 1;
    if (open > 0 && --open === 0) log.push(['EXEC']);
  }
  if (open > 0) log.push(['EXEC']);
  return log;
}

function randomCommand(
  dice: Dice,
  made: number,
  { databases, flushOnceIn, sortOnceIn }: { readonly databases: number } & GlobalOdds,
): Words {
  const key = (): string => KEYS[dice.between(0, KEYS.length - 1)] ?? '';
  const db = (): string => dice.between(0, databases - 1).toString();
  const value = `${made.toString()}.`.repeat(
    1 + (dice.between(0, 8 - 1) === 0 ? dice.between(0, 60 - 1) : 0),
  );
  if (flushOnceIn > 0 && dice.between(0, flushOnceIn - 1) === 0) {
    return [dice.between(0, 3 - 1) === 0 ? 'FLUSHALL' : 'FLUSHDB'];
  }
  if (sortOnceIn > 0 && dice.between(0, sortOnceIn - 1) === 0) {
    return ['SORT', key(), 'BY', 'x*', 'STORE', key()];
  }
  switch (dice.between(0, 14 - 1)) {
    case 0:
    case 1:
      return ['SELECT', db()];
    case 2:
      return ['RENAME', key(), key()];
    case 3:
      return ['COPY', key(), key(), 'DB', db(), 'REPLACE'];
    case 4:
      return ['MOVE', key(), db()];
    case 5:
      return ['SUNIONSTORE', key(), key(), key()];
    case 6:
      return dice.between(0, 3 - 1) === 0
        ? ['SWAPDB', db(), db()]
        : ['MSET', key(), value, key(), `2${value}`];
    case 7:
      return ['DEL', key(), key()];
    case 8:
    case 9:
    case 10:
      return ['APPEND', key(), value];
    default:
      return ['SET', key(), value];
  }
}
