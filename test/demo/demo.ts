import { Redis } from 'ioredis';
import { useDebugServers } from '../support/debug-servers.ts';
import { startRedis } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import { Shop } from './shop.ts';
import {
  disposable,
  done,
  gone,
  indent,
  pause,
  processId,
  quietSecond,
  run,
  serveArchiver,
  step,
  stop,
  untilProven,
  type Report,
} from './stage.ts';

const WRITE_SECONDS = 20;

/** The main job, once through: write, lose everything, go back to the second before. */
async function demo(): Promise<void> {
  await using dir = await TempDir.create('tidemark-demo-');
  await using _debug = await useDebugServers();
  await using source = await startRedis({ config: { databases: '16' } });
  using redis = await disposable(await source.connect());
  const config = `${dir.path}/tidemark.toml`;
  const tidemark = (...args: string[]): Promise<string> => run(['-c', config, ...args]);
  step('a redis-server writes its append-only file');

  await run(['init', '--dir', dir.path]);
  await tidemark(
    'instance',
    'add',
    'shop',
    '-u',
    `redis://127.0.0.1:${source.port}`,
    '--aof-dir',
    source.aofDir,
    '--yes',
  );
  const archiver = await serveArchiver(config);
  await using _archiver = { [Symbol.asyncDispose]: () => stop(archiver) };
  step('the archiver has caught up');

  const shop = new Shop(redis.client);
  await shop.open();
  const until = Date.now() + WRITE_SECONDS * 1000;
  while (Date.now() < until) await shop.serve();
  await pause(2_200); // the last sessions end
  await shop.close();
  const before = await quietSecond(redis.client);
  step(
    `the shop served ${shop.orders} customers; ${before.keys} keys, digest ${before.digest.slice(0, 12)}…`,
  );

  await redis.client.flushall();
  console.log(`   accident: FLUSHALL; the server holds ${await redis.client.dbsize()} keys now`);
  const at = new Date(before.second * 1000).toISOString().replace('.000Z', 'Z');
  await untilProven(tidemark, at);
  console.log(indent(await tidemark('windows', 'shop')));
  step('the second before the accident can be restored');

  const replayed = JSON.parse(
    await tidemark(
      'restore',
      'shop',
      '--at',
      at,
      '--to',
      'new',
      '--dir',
      `${dir.path}/new`,
      '--no-promote',
      '-o',
      'json',
    ),
  ) as Report;
  using target = await disposable(
    new Redis(replayed.target, { protocol: 2, retryStrategy: () => null }),
  );
  const digest = String(await target.client.call('DEBUG', 'DIGEST'));
  console.log(`   source at ${at}: ${before.digest}`);
  console.log(`   restored server:         ${digest}`);
  if (digest !== before.digest) throw new Error('the digests differ');
  step(
    `restored into a new server, not yet promoted: digests equal (${replayed.keys} keys, ${replayed.commands} commands)`,
  );

  const promoted = JSON.parse(
    await tidemark('restore', 'shop', '--resume', replayed.id, '-o', 'json'),
  ) as Report;
  console.log(
    promoted.vanishing === 0
      ? '   no key goes by its TTL'
      : `   ${promoted.vanishing} keys go by their TTL, which has passed since: ` +
          `${promoted.vanishingSample.slice(0, 4).join(', ')}${promoted.vanishing > 4 ? ', …' : ''}`,
  );
  console.log(`   ${promoted.target} is a master and has its append-only file on`);
  step('promoted');
  const newServer = await processId(target.client);
  target.client.disconnect();
  process.kill(newServer, 'SIGTERM');
  await gone(newServer);
}

await demo();
done();
