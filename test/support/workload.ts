import { NodeError } from '@tidemark/core';
import type { Argument, NodeClient } from '@tidemark/client';
import { collectionOperations } from './workload/collection-operations.ts';
import { Dice } from './workload/dice.ts';
import { globalOperations, keyspaceOperations } from './workload/keyspace-operations.ts';
import { fieldOperations, redisFieldOperations } from './workload/field-operations.ts';
import { Scene, type Words } from './workload/scene.ts';
import { openingScripts, scriptOperations } from './workload/script-operations.ts';
import { sinceVersion } from './workload/since.ts';
import {
  openingGroups,
  settle,
  STREAM_GROUPS,
  streamOperations,
} from './workload/stream-operations.ts';
import { bigValue, stringOperations } from './workload/string-operations.ts';

export { chooseSeed, Dice } from './workload/dice.ts';

/** How much is written, and from which seed. */
export interface WorkloadOptions {
  readonly seed: number;
  /** Databases 0 to `databases - 1` are used. Default 16. */
  readonly databases?: number;
  /** Commands of a batch. Default 40. */
  readonly batch?: number;
  /** A value of 1 to 4 MB once in so many batches; 0 = never. Default 60. */
  readonly bigOnceIn?: number;
  /** Only commands that this version of Redis knows, e.g. 60000 for 6.0. Default: all. */
  readonly level?: number;
  /** Hash fields with an expiry too, as far as this product logs what it does. Default: none. */
  readonly fieldExpiry?: 'redis' | 'valkey' | null;
  /**
   * Groups that are said to have read more than the stream ever had: servers differ in what they make
   * of it. Default true.
   */
  readonly falseCounters?: boolean;
  /** Values that are put back from a DUMP of this server. Default true. */
  readonly dumps?: boolean;
}

/** Weights of the families of operations. */
const FAMILIES: readonly (readonly [number, readonly ((at: Scene) => Words[])[]])[] = [
  [8, stringOperations],
  [12, collectionOperations],
  [6, streamOperations],
  [6, keyspaceOperations],
  [4, scriptOperations],
];
const WITH_FIELDS: Readonly<Record<'redis' | 'valkey', typeof FAMILIES>> = {
  redis: [...FAMILIES, [8, redisFieldOperations]],
  valkey: [...FAMILIES, [8, fieldOperations]],
};
const POPS_TIMEOUT_S = 0.02;

/**
 * A seeded workload over every type, all databases, transactions, scripts, functions and expiry.
 *
 * Which commands come is given by the seed; what they do depends also on the server's clock and
 * chance (SPOP, stream ids). Errors are part of it: keys of one kind meet commands of another.
 */
export class Workload {
  readonly #client: NodeClient;
  readonly #blocking: NodeClient;
  readonly #dice: Dice;
  readonly #databases: number;
  readonly #batch: number;
  readonly #bigOnceIn: number;
  readonly #level: number;
  readonly #dumps: boolean;
  readonly #falseCounters: boolean;
  readonly #families: typeof FAMILIES;
  readonly #weights: number;
  /** Commands sent, and error replies to them outside transactions. */
  commands = 0;
  errors = 0;

  /** @param blocking - A second connection, for commands that wait for data. */
  constructor(client: NodeClient, blocking: NodeClient, options: WorkloadOptions) {
    this.#client = client;
    this.#blocking = blocking;
    this.#dice = new Dice(options.seed);
    this.#databases = options.databases ?? 16;
    this.#batch = options.batch ?? 40;
    this.#bigOnceIn = options.bigOnceIn ?? 60;
    this.#level = options.level ?? Infinity;
    this.#dumps = options.dumps ?? true;
    this.#falseCounters = options.falseCounters ?? true;
    const { fieldExpiry = null } = options;
    this.#families = fieldExpiry === null ? FAMILIES : WITH_FIELDS[fieldExpiry];
    this.#weights = this.#families.reduce((sum, [weight]) => sum + weight, 0);
  }

  /** Libraries, and some keys in every database. */
  async open(): Promise<void> {
    await this.#send(openingScripts());
    for (let db = 0; db < this.#databases; db++)
      await this.#send([['SELECT', db], ...openingGroups(), ...this.#draw(60)]);
  }

  /** One batch; everything it sent has been answered when it resolves. */
  async step(): Promise<void> {
    const dice = this.#dice;
    const commands: Words[] = [['SELECT', dice.between(0, this.#databases - 1)]];
    if (dice.once(12)) commands.push(...dice.pick(globalOperations)(this.#scene()));
    if (this.#bigOnceIn > 0 && dice.once(this.#bigOnceIn))
      commands.push(...bigValue(this.#scene()));
    if (dice.once(3)) commands.push(...this.#transaction());
    commands.push(...this.#draw(this.#batch));
    const pops = dice.once(6) ? this.#popBlocking() : Promise.resolve();
    await this.#send(commands);
    if (dice.once(4)) await this.#settleEntries();
    if (this.#dumps && dice.once(8)) await this.#restoreDump();
    await pops;
  }

  #scene(): Scene {
    return new Scene(this.#dice, Date.now(), this.#databases);
  }

  #draw(count: number): Words[] {
    const scene = this.#scene();
    const commands: Words[] = [];
    while (commands.length < count) {
      let at = this.#dice.fraction() * this.#weights;
      const family = this.#families.find(([weight]) => (at -= weight) < 0) ?? FAMILIES[0];
      commands.push(...this.#dice.pick(family?.[1] ?? stringOperations)(scene));
    }
    return commands;
  }

  /** MULTI with writes in one or two databases, sometimes with an error in it, sometimes dropped. */
  #transaction(): Words[] {
    const dice = this.#dice;
    const body = this.#draw(dice.between(2, 8));
    const second: Words[] = dice.once(3)
      ? [['SELECT', dice.between(0, this.#databases - 1)], ...this.#draw(3)]
      : [];
    const watched: Words[] = dice.once(4) ? [['WATCH', this.#scene().key('string')]] : [];
    return [...watched, ['MULTI'], ...body, ...second, [dice.once(9) ? 'DISCARD' : 'EXEC']];
  }

  /** Waits on lists, sorted sets and streams while the batch writes to them. */
  async #popBlocking(): Promise<void> {
    const at = this.#scene();
    const commands: Words[] = [
      ['SELECT', this.#dice.between(0, this.#databases - 1)],
      ['BLPOP', ...at.keys('list', 3), POPS_TIMEOUT_S],
      ['BLMOVE', at.key('list'), at.key('list'), 'LEFT', 'RIGHT', POPS_TIMEOUT_S],
      ['BZPOPMIN', ...at.keys('zset', 2), POPS_TIMEOUT_S],
    ];
    await this.#send(commands, this.#blocking);
  }

  /** Acknowledges, claims and deletes entries that are pending. */
  async #settleEntries(): Promise<void> {
    const at = this.#scene();
    const key = at.key('stream');
    for (const group of STREAM_GROUPS) {
      const [reply] = await this.#send([['XPENDING', key, group, '-', '+', 6]]);
      if (!Array.isArray(reply)) continue;
      const ids = (reply as unknown[][]).map(([id]) => String(id));
      if (ids.length > 0) await this.#send(settle(at, key, group, ids));
    }
  }

  /** DUMP of a key put back under another name, as migrations do. */
  async #restoreDump(): Promise<void> {
    const at = this.#scene();
    const kind = this.#dice.pick(['string', 'list', 'zset', 'hash', 'stream', 'set']);
    const payload = (await this.#client.callBuffer('DUMP', at.key(kind))) as Buffer | null;
    if (payload === null) return;
    const expiry: readonly Argument[] = this.#dice.once(2) ? [0] : [at.expiryMs(), 'ABSTTL'];
    const [ttl = 0, ...flags] = expiry;
    await this.#send([['RESTORE', at.key(kind), ttl, payload, 'REPLACE', ...flags]]);
  }

  async #send(commands: readonly Words[], client = this.#client): Promise<unknown[]> {
    const known = commands.filter(
      (words) =>
        sinceVersion(words) <= this.#level &&
        (this.#falseCounters || !words.includes('ENTRIESREAD')),
    );
    const replies = await client.pipeline(known);
    this.commands += known.length;
    this.errors += replies.filter((reply) => reply instanceof NodeError).length;
    return replies;
  }
}
