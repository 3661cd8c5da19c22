import type { Redis } from 'ioredis';
import { eventually } from '../eventually.ts';
import { writeEveryType } from '../every-type.ts';
import { readOracle, type KeyFacts, type Oracle } from '../oracle.ts';
import { iso } from '../tidemark-cli.ts';
import type { ControlHost } from './control-host.ts';

const CARTS = 60;

/** What a source held at the end of a second, and what it holds after its accident. */
export interface Story {
  /** RFC 3339. */
  readonly at: string;
  readonly then: Oracle;
  readonly now: Oracle;
}

/** Has a source with data of every type, and an accident after a second that can be restored. */
export async function tellStory(host: ControlHost): Promise<Story> {
  const { redis } = host;
  let values = 0;
  for (const db of [0, 3]) {
    await redis.select(db);
    await writeEveryType(redis, () => `value-${++values}`, `lib${db}`);
    const pipeline = redis.pipeline();
    for (let i = 0; i < CARTS; i++) pipeline.hset(`cart:${i}`, 'sum', i, 'of', `shop ${db}`);
    await pipeline.set('cart:lives', 'x', 'EX', 7_200).exec();
  }
  const then = await readOracle(redis);
  const second = await secondOf(redis);
  await eventually('the second is over', async () => (await secondOf(redis)) > second);
  await redis.select(3);
  await redis.pipeline().flushdb().set('other', 'stays').exec();
  await redis.select(0);
  await redis.pipeline().del('cart:1', 'cart:2').set('cart:3', 'wrong').set('cart:new', 1).exec();
  const now = await readOracle(redis);
  await host.untilProven(await secondOf(redis));
  return { at: iso(second), then, now };
}

/** The second of a server. */
export async function secondOf(client: Redis): Promise<number> {
  return Number((await client.time())[0]);
}

/** Without what only DEBUG tells, which clones do not allow. */
export function withoutDigests(oracle: Oracle): Oracle {
  const plain = (keys: ReadonlyMap<string, KeyFacts>): Map<string, KeyFacts> =>
    new Map([...keys].map(([key, facts]) => [key, { ...facts, digest: null }]));
  const databases = [...oracle.databases].map(
    ([db, facts]) => [db, { ...facts, keys: plain(facts.keys) }] as const,
  );
  return { ...oracle, digest: null, databases: new Map(databases) };
}

/** The present with some keys as they were: what a write into the original must make. */
export function withKeysOf(then: Oracle, now: Oracle, isMeant: (key: string) => boolean): Oracle {
  const databases = [...now.databases.keys(), ...then.databases.keys()].map((db) => {
    const kept = [...(now.databases.get(db)?.keys ?? [])].filter(([key]) => !isMeant(key));
    const back = [...(then.databases.get(db)?.keys ?? [])].filter(([key]) => isMeant(key));
    const keys = new Map([...kept, ...back]);
    return [db, { dbSize: keys.size, keys }] as const;
  });
  return { ...now, digest: null, databases: new Map(databases) };
}
