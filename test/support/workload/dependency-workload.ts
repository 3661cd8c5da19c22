import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import {
  dependencyFamilies,
  fieldOperations,
  newestOperations,
  patternOperations,
  swapOperations,
  type Family,
} from './dependency-operations.ts';
import { dependencyKeys, DependencyScene } from './dependency-scene.ts';
import { openingLibrary, scriptOperations } from './dependency-scripts.ts';
import { Dice } from './dice.ts';
import type { Words } from './scene.ts';

/** What of the workload is wanted beside the plain part. */
export interface DependencyOptions {
  readonly seed: number;
  /** Databases 0 to `databases - 1` are used. Default 4. */
  readonly databases?: number;
  /** Commands of a batch. Default 25. */
  readonly batch?: number;
  /** SWAPDB, FLUSHDB, FLUSHALL: they end chains. Default true. */
  readonly globals?: boolean;
  /** SORT BY and GET patterns: what they read cannot be told. Default false. */
  readonly patterns?: boolean;
  /** Hash fields with an expiry. Default false. */
  readonly fields?: boolean;
  /** Commands that came with Redis 8.4. Default false. */
  readonly newest?: boolean;
}

const SWAP_ONCE_IN = 8;
/** They end every chain: rare, and never forgotten in a short history. */
const FLUSH_DB_EACH = 31;
const FLUSH_ALL_EACH = 67;
const PATTERN_ONCE_IN = 3;
const TRANSACTION_ONCE_IN = 3;
const DUMP_ONCE_IN = 3;
const BLOCKING_ONCE_IN = 4;
const CLAIM_ONCE_IN = 2;
const WAIT_S = 0.01;

/**
 * A seeded workload on few keys that depend on each other through every command that carries data,
 * or existence, from key to key or from database to database (redis-facts, section 6).
 *
 * Which commands come is given by the seed; stream ids, SPOP and expiry are up to the server. Errors
 * are part of it: a key may be gone, or of another type.
 */
export class DependencyWorkload {
  readonly #client: NodeClient;
  readonly #blocking: NodeClient;
  readonly #dice: Dice;
  readonly #options: DependencyOptions;
  readonly #databases: number;
  readonly #families: readonly Family[];
  readonly #weights: number;
  #steps = 0;
  /** Commands sent, and error replies to them outside transactions. */
  commands = 0;
  errors = 0;

  /** @param blocking - A second connection, for commands that wait for data. */
  constructor(client: NodeClient, blocking: NodeClient, options: DependencyOptions) {
    this.#client = client;
    this.#blocking = blocking;
    this.#options = options;
    this.#dice = new Dice(options.seed);
    this.#databases = options.databases ?? 4;
    const more: Family[] = [[2, scriptOperations]];
    if (options.fields === true) more.push([6, fieldOperations]);
    if (options.newest === true) more.push([4, newestOperations]);
    this.#families = [...dependencyFamilies, ...more];
    this.#weights = this.#families.reduce((sum, [weight]) => sum + weight, 0);
  }

  /** A library, and keys in every database. */
  async open(): Promise<void> {
    await this.#send(openingLibrary());
    for (let db = 0; db < this.#databases; db++)
      await this.#send([['SELECT', db], ...this.#draw(120)]);
  }

  /** One batch; everything it sent has been answered when it resolves. */
  async step(): Promise<void> {
    const dice = this.#dice;
    const { globals = true, patterns = false, batch = 25 } = this.#options;
    const at = this.#scene();
    const commands: Words[] = [['SELECT', at.db()]];
    if (globals) commands.push(...this.#global(at));
    if (patterns && dice.once(PATTERN_ONCE_IN)) commands.push(...dice.pick(patternOperations)(at));
    if (dice.once(TRANSACTION_ONCE_IN)) commands.push(...this.#transaction());
    commands.push(...this.#draw(batch));
    const waiting = dice.once(BLOCKING_ONCE_IN) ? this.#moveWaiting() : Promise.resolve();
    await this.#send(commands);
    if (dice.once(DUMP_ONCE_IN)) await this.#restoreDump();
    if (dice.once(CLAIM_ONCE_IN)) await this.#claim();
    await waiting;
  }

  #global(at: DependencyScene): Words[] {
    this.#steps += 1;
    if (this.#steps % FLUSH_ALL_EACH === 0) return [['FLUSHALL']];
    if (this.#steps % FLUSH_DB_EACH === 0) return [['FLUSHDB', at.dice.pick(['ASYNC', 'SYNC'])]];
    return at.dice.once(SWAP_ONCE_IN) ? at.dice.pick(swapOperations)(at) : [];
  }

  #scene(): DependencyScene {
    return new DependencyScene(this.#dice, Date.now(), this.#databases);
  }

  #draw(count: number): Words[] {
    const at = this.#scene();
    const commands: Words[] = [];
    while (commands.length < count) {
      let place = this.#dice.fraction() * this.#weights;
      const family = this.#families.find(([weight]) => (place -= weight) < 0);
      if (family !== undefined) commands.push(...this.#dice.pick(family[1])(at));
    }
    return commands;
  }

  /** MULTI in one or two databases; sometimes nothing comes of it. */
  #transaction(): Words[] {
    const dice = this.#dice;
    const at = this.#scene();
    const { globals = true } = this.#options;
    const inner: Words[] = [
      ...this.#draw(dice.between(2, 6)),
      ['BLMOVE', ...at.several('cart', 2), 'LEFT', 'RIGHT', 0],
      ['SELECT', at.db()],
      ...this.#draw(dice.between(1, 3)),
    ];
    if (globals && dice.once(8)) inner.push(['SWAPDB', at.db(), at.db()], ...this.#draw(2));
    const watched: Words[] = dice.once(3) ? [['WATCH', ...at.any(2)]] : [];
    return [...watched, ['MULTI'], ...inner, [dice.once(9) ? 'DISCARD' : 'EXEC']];
  }

  /** Waits on lists and sorted sets while the batch writes to them. */
  async #moveWaiting(): Promise<void> {
    const at = this.#scene();
    await this.#send(
      [
        ['SELECT', at.db()],
        ['BLMOVE', ...at.several('cart', 2), 'RIGHT', 'LEFT', WAIT_S],
        ['BRPOPLPUSH', ...at.several('cart', 2), WAIT_S],
        ['BLMPOP', WAIT_S, 2, ...at.several('cart', 2), 'LEFT', 'COUNT', 2],
        ['BZMPOP', WAIT_S, 2, ...at.several('board', 2), 'MAX'],
        ['BZPOPMIN', ...at.several('board', 2), WAIT_S],
      ],
      this.#blocking,
    );
  }

  /** DUMP of a key put back under another name, as migrations do. */
  async #restoreDump(): Promise<void> {
    const at = this.#scene();
    const [from, to] = at.pair();
    const payload = (await this.#client.callBuffer('DUMP', from)) as Buffer | null;
    if (payload === null) return;
    const life = at.dice.once(2) ? 0 : at.lifeMs();
    const words: Words = ['RESTORE', to, life, payload];
    await this.#send([at.dice.once(3) ? words : [...words, 'REPLACE']]);
  }

  /** Pending entries of streams get another owner, go, or are acknowledged. */
  async #claim(): Promise<void> {
    const asked = dependencyKeys('events').flatMap((key) =>
      ['billing', 'mail'].map((group) => ({ key, group })),
    );
    const replies = await this.#send(
      asked.map(({ key, group }): Words => ['XPENDING', key, group, '-', '+', 3]),
    );
    const commands = asked.flatMap(({ key, group }, place): Words[] => {
      const rows = replies[place];
      if (!Array.isArray(rows)) return [];
      return (rows as unknown[][]).map(([id]): Words => {
        const what = this.#dice.pick(['XACK', 'XACK', 'XDEL', 'XCLAIM']);
        if (what === 'XACK') return ['XACK', key, group, String(id)];
        if (what === 'XDEL') return ['XDEL', key, String(id)];
        return ['XCLAIM', key, group, 'chris', 0, String(id), 'RETRYCOUNT', 5];
      });
    });
    await this.#send(commands);
  }

  async #send(commands: readonly Words[], client = this.#client): Promise<unknown[]> {
    if (commands.length === 0) return [];
    const replies = await client.pipeline(commands);
    this.commands += commands.length;
    this.errors += replies.filter((reply) => reply instanceof NodeError).length;
    return replies;
  }
}
