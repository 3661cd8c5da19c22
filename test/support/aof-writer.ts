import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseManifest, type TailCursor } from '@tidemark/aof';
import type { Redis } from 'ioredis';
import type { AofRun } from './aof-run.ts';
import type { RedisServer } from './redis-server.ts';

/** No annotations and no snapshots: nothing but what the test writes. */
export const PLAIN = { config: { 'aof-timestamp-enabled': 'no', save: '' } };

/** Writes `SET seq n:000001` and so on, and knows the last number that was answered. */
export class Writer {
  readonly #client: Redis;
  #number = 0;
  #running = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(client: Redis) {
    this.#client = client;
  }

  get number(): number {
    return this.#number;
  }

  async write(count: number): Promise<void> {
    const pipeline = this.#client.pipeline();
    for (let i = 0; i < count; i++) pipeline.set('seq', value(++this.#number));
    await pipeline.exec();
  }

  start(): void {
    this.#running = true;
    this.#loop = (async () => {
      while (this.#running) await this.write(20);
    })();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
  }
}

const value = (number: number): string => `n:${String(number).padStart(7, '0')}`;

/** The numbers in a piece of the log, in order. */
export const numbersIn = (bytes: Buffer): number[] =>
  [...bytes.toString('latin1').matchAll(/\r\nseq\r\n\$9\r\nn:(\d{7})\r\n/g)].map(([, n]) =>
    Number(n),
  );

/** The number a base holds: a short string lies plainly in an RDB. */
export const numberInBase = (path: string): number => {
  const found = /\u0003seq\tn:(\d{7})/.exec(readFileSync(path).toString('latin1'));
  return found === null ? 0 : Number(found[1]);
};

/** `first` to `last`. */
export const upTo = (last: number, first = 1): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** One rewrite from beginning to end. */
export async function rewrite(client: Redis): Promise<void> {
  const before = await rewrites(client);
  for (;;) {
    try {
      await client.bgrewriteaof();
      break;
    } catch {
      await sleep(5); // one is under way
    }
  }
  for (;;) {
    const info = await client.info('persistence');
    const settled = /aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info);
    if (settled && (await rewrites(client)) > before) return;
    await sleep(5);
  }
}

async function rewrites(client: Redis): Promise<number> {
  return Number(/aof_rewrites:(\d+)/.exec(await client.info('persistence'))?.[1]);
}

/** The folder of all pins of a server. */
export const pinRoot = (server: RedisServer): string => join(server.dir, '.tidemark-pins');

/** The pins that lie there. */
export const pins = (server: RedisServer): string[] => {
  const root = pinRoot(server);
  return existsSync(root) ? readdirSync(root).flatMap((dir) => readdirSync(join(root, dir))) : [];
};

/** The manifest in force. */
export const manifestOf = (server: RedisServer): ReturnType<typeof parseManifest> =>
  parseManifest(readFileSync(join(server.aofDir, 'appendonly.aof.manifest')));

/** Path of the increment that the server writes to. */
export const newestIncr = (server: RedisServer): string =>
  join(server.aofDir, manifestOf(server).incr.at(-1)?.name ?? '');

/** The cursor of a run, as it comes back from JSON. */
export const cursorOf = (run: AofRun): TailCursor => {
  const cursor = run.tail.cursor();
  if (cursor === null) throw new Error('no cursor');
  return JSON.parse(JSON.stringify(cursor)) as TailCursor;
};

/** The last number among everything delivered. */
export const delivered = (run: AofRun): number => numbersIn(run.ending(1_000)).at(-1) ?? 0;
