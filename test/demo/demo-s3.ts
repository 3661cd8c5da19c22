import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { KmsServer } from '../support/kms-server.ts';
import { useDebugServers } from '../support/debug-servers.ts';
import { startRedis } from '../support/redis-server.ts';
import { S3Server, whyNoS3 } from '../support/s3-servers.ts';
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
  type Tidemark,
} from './stage.ts';

const WRITE_SECONDS = 12;
const INSTANCE = 'shop';
/** The shop does not fit into less. */
const DOWNLOAD_BYTES_MIN = 100_000;
/** Written into the server, and looked for in what is downloaded. */
const CANARY = 'canary-3f9c2b7e41d0';
/** The first bytes of a sealed container (docs/formats/sealed-container.md) and of an RDB. */
const SEALED = Buffer.from('8b544445310d0a1a', 'hex');
const RDB = Buffer.from('REDIS', 'latin1');

interface TdeStatus {
  readonly state: string;
}
interface BackupList {
  readonly backups: readonly { readonly id: string }[];
}

/** The demo of the first issue on a bucket and a key service, with TDE. */
async function demo(): Promise<void> {
  const missing = [whyNoS3('versitygw'), whyNoS3('moto')].filter((why) => why !== null);
  if (missing.length > 0) throw new Error(missing.join('; '));
  await using dir = await TempDir.create('tidemark-demo-');
  await using _debug = await useDebugServers();
  await using bucket = await S3Server.start({ kind: 'versitygw' });
  await using keys = await KmsServer.start();
  await using source = await startRedis({ config: { databases: '16' } });
  using redis = await disposable(await source.connect());
  step(
    'a redis-server, a store that speaks S3 (versitygw) and a key service that speaks KMS (moto)',
  );

  const config = join(dir.path, 'tidemark.toml');
  const tidemark: Tidemark = (...args) => run(['-c', config, ...args]);
  const kmsKey = await keys.createKey('default key of the demo');
  await run([
    ...['init', '--dir', dir.path, '--store', `s3://${bucket.bucket}/demo`],
    ...['--endpoint', bucket.endpoint, '--region', 'us-east-1'],
    ...['--keys', 'aws-kms', '--kms-key', kmsKey],
    ...['--kms-endpoint', keys.endpoint, '--kms-region', 'us-east-1'],
  ]);
  const url = `redis://127.0.0.1:${source.port}`;
  await tidemark('instance', 'add', INSTANCE, '-u', url, '--aof-dir', source.aofDir, '--yes');
  const archiver = await serveArchiver(config);
  await using _archiver = { [Symbol.asyncDispose]: () => stop(archiver) };
  step('the archiver has caught up');

  await tidemark('tde', 'enable', INSTANCE, '--confirm', INSTANCE);
  console.log(indent(await tidemark('tde', 'status', INSTANCE)));
  const { state } = JSON.parse(
    await tidemark('tde', 'status', INSTANCE, '-o', 'json'),
  ) as TdeStatus;
  if (state !== 'enabled') throw new Error(`TDE is ${state}`);
  step('TDE is on, with a key of its own in the key service, for good');

  const before = await openShop(redis.client);
  await tidemark('backup', 'create', INSTANCE, '--wait');
  await redis.client.flushall();
  console.log(`   accident: FLUSHALL; the server holds ${await redis.client.dbsize()} keys now`);
  const at = new Date(before.second * 1000).toISOString().replace('.000Z', 'Z');
  await untilProven(tidemark, at);
  console.log(indent(await tidemark('windows', INSTANCE)));
  step('the second before the accident can be restored');

  await restoreAndCompare(tidemark, { at, digest: before.digest, dir: join(dir.path, 'new') });
  await showDownload(tidemark, dir.path);
}

/** Lets the shop serve for a while. */
async function openShop(
  client: Redis,
): Promise<{ readonly second: number; readonly digest: string; readonly keys: number }> {
  const shop = new Shop(client);
  await shop.open();
  await client.set('secret', CANARY);
  const until = Date.now() + WRITE_SECONDS * 1000;
  while (Date.now() < until) await shop.serve();
  await pause(2_200); // the last sessions end
  const before = await quietSecond(client);
  step(
    `the shop served ${shop.orders} customers; ${before.keys} keys, digest ${before.digest.slice(0, 12)}…`,
  );
  return before;
}

async function restoreAndCompare(
  tidemark: Tidemark,
  wanted: { readonly at: string; readonly digest: string; readonly dir: string },
): Promise<void> {
  const to = ['--to', 'new', '--dir', wanted.dir, '--no-promote', '-o', 'json'];
  const replayed = JSON.parse(
    await tidemark('restore', INSTANCE, '--at', wanted.at, ...to),
  ) as Report;
  using target = await disposable(
    new Redis(replayed.target, { protocol: 2, retryStrategy: () => null }),
  );
  const digest = String(await target.client.call('DEBUG', 'DIGEST'));
  console.log(`   source at ${wanted.at}: ${wanted.digest}`);
  console.log(`   restored server:         ${digest}`);
  if (digest !== wanted.digest) throw new Error('the digests differ');
  step(`restored from the bucket into a new server: digests equal (${replayed.keys} keys)`);
  await tidemark('restore', INSTANCE, '--resume', replayed.id, '-o', 'json');
  const newServer = await processId(target.client);
  target.client.disconnect();
  process.kill(newServer, 'SIGTERM');
  await gone(newServer);
  step('promoted');
}

/** A backup of an instance with TDE leaves only as it lies in the store. */
async function showDownload(tidemark: Tidemark, dir: string): Promise<void> {
  const { backups } = JSON.parse(
    await tidemark('backup', 'list', INSTANCE, '-o', 'json'),
  ) as BackupList;
  const { id } = backups.at(-1) ?? { id: '' };
  const file = join(dir, 'downloaded.sealed');
  await tidemark('backup', 'download', INSTANCE, id, '--out', file);
  const bytes = await readFile(file);
  const sealed = bytes.subarray(0, SEALED.length).equals(SEALED);
  const shown = bytes.subarray(0, 16).toString('hex');
  console.log(`   ${id}: ${(await stat(file)).size} bytes, beginning with ${shown}`);
  if (bytes.length < DOWNLOAD_BYTES_MIN) throw new Error('the backup does not hold the shop');
  if (!sealed || bytes.includes(CANARY) || bytes.includes(RDB)) {
    throw new Error('what was downloaded is not ciphertext');
  }
  step('a download is the sealed container: no RDB and no value of the shop in it');
}

await demo();
done();
