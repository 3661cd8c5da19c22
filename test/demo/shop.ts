import type { Redis } from 'ioredis';

const PICK = `
local left = redis.call('DECRBY', KEYS[1], ARGV[1])
if left < 0 then redis.call('INCRBY', KEYS[1], ARGV[1]) return 0 end
redis.call('RPUSH', KEYS[2], ARGV[2])
return 1`;

const LIBRARY = `#!lua name=shop
redis.register_function('rank', function(keys, args)
  return redis.call('ZINCRBY', keys[1], args[1], args[2])
end)`;

/** A small shop that writes values of every type, with TTLs, transactions, scripts and functions. */
export class Shop {
  readonly #redis: Redis;
  #order = 0;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** Stock, catalogue and the function library. */
  async open(): Promise<void> {
    await this.#redis.call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY);
    const pipeline = this.#redis.pipeline();
    for (let item = 0; item < 200; item++) {
      pipeline.set(`stock:${item}`, 1000 + item);
      pipeline.hset(`item:${item}`, { name: `item ${item}`, price: (item * 7) % 93, unit: 'EUR' });
      pipeline.sadd(`tag:${item % 9}`, item);
      pipeline.geoadd('shops', 6 + item / 100, 50 + item / 200, `shop-${item}`);
    }
    pipeline.xgroup('CREATE', 'events', 'billing', '$', 'MKSTREAM');
    await pipeline.exec();
  }

  /** One customer: browses, fills a cart, orders, and sometimes leaves. */
  async serve(): Promise<void> {
    const order = ++this.#order;
    const item = (order * 31) % 200;
    const redis = this.#redis;
    await redis
      .pipeline()
      .set(`session:${order}`, Buffer.from([0, order & 255, 13, 10, 255]), 'PX', 2_000)
      .hincrby(`cart:${order % 50}`, `item:${item}`, 1)
      .expire(`cart:${order % 50}`, 3_600)
      .pfadd('visitors', `customer-${order % 700}`)
      .setbit('days:active', order % 365, 1)
      .exec();
    await redis.eval(PICK, 2, `stock:${item}`, 'queue:packing', 1, order);
    await redis
      .multi()
      .hset(`order:${order}`, { item, amount: 1, state: 'new' })
      .incrbyfloat('revenue', 9.95)
      .lpush('orders:recent', order)
      .ltrim('orders:recent', 0, 99)
      .exec();
    await redis.call('FCALL', 'rank', 1, 'ranking', 1, `item:${item}`);
    await redis.xadd('events', 'MAXLEN', '~', 5_000, '*', 'order', order, 'item', item);
    if (order % 5 === 0) {
      await redis.xreadgroup('GROUP', 'billing', 'worker', 'COUNT', 3, 'STREAMS', 'events', '>');
    }
    if (order % 11 === 0) await redis.rename(`order:${order}`, `order:${order}:paid`);
    if (order % 13 === 0) await redis.sunionstore('tag:all', 'tag:0', 'tag:1', 'tag:2');
    if (order % 17 === 0) await redis.spop('tag:5');
  }

  /** The last customers leave something in their baskets, which is kept for a few seconds only. */
  async close(): Promise<void> {
    const pipeline = this.#redis.pipeline();
    for (let basket = 1; basket <= 25; basket++) {
      pipeline.hset(`basket:${basket}`, { item: basket, amount: 2 });
      pipeline.pexpire(`basket:${basket}`, 3_500);
    }
    await pipeline.exec();
  }

  /** How many customers were served. */
  get orders(): number {
    return this.#order;
  }
}
