import type { Redis } from 'ioredis';

/** A value for each place where data can stand; called once for each place. */
export type NextValue = () => string | Buffer;

/**
 * Writes one key of every type, in a plain and in a large encoding, with keys, fields and values
 * that `next` gives, and a library of functions whose code holds one of them as text.
 */
export async function writeEveryType(redis: Redis, next: NextValue, name: string): Promise<void> {
  const many = (count: number, width: number): (string | Buffer)[] =>
    Array.from({ length: count * width }, () => next());
  const scores = (count: number): (string | Buffer | number)[] =>
    Array.from({ length: count }, (_, i) => [i, next()]).flat();
  const pipeline = redis
    .pipeline()
    .set(next(), next())
    .set(next(), next(), 'PX', 3_600_000)
    .rpush(next(), ...many(3, 1))
    .rpush(next(), ...many(200, 1))
    .sadd(next(), ...many(3, 1))
    .sadd(next(), ...many(200, 1))
    .hset(next(), ...many(3, 2))
    .hset(next(), ...many(150, 2))
    .zadd(next(), ...scores(3))
    .zadd(next(), ...scores(150));
  const stream = next();
  pipeline
    .xadd(stream, '*', ...many(2, 2))
    .xadd(stream, '*', ...many(1, 2))
    .call('XGROUP', 'CREATE', stream, next(), '0')
    .setbit(next(), 7, 1)
    .pfadd(next(), 'only', 'hashes', 'of these are kept')
    .geoadd(next(), 13.36, 38.11, next());
  pipeline.call(
    'FUNCTION',
    'LOAD',
    'REPLACE',
    `#!lua name=${name}\nredis.register_function('${name}', function() return '${asText(next())}' end)`,
  );
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

function asText(value: string | Buffer): string {
  return Buffer.isBuffer(value) ? value.toString('hex') : value.replaceAll("'", '');
}
