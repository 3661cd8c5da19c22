import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { TempDir } from '../support/temp-dir.ts';
import { startRedis } from '../support/redis-server.ts';
import { Shop } from './shop.ts';

const WRITE_SECONDS = 20;
const TIDEMARK = fileURLToPath(new URL('../../../services/cli/bin/tidemark.js', import.meta.url));
const started = Date.now();
let stepAt = started;

/** The main job, once through: write, lose everything, go back to the second before. */
async function demo(): Promise<void> {
  await using dir = await TempDir.create('tidemark-demo-');
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

interface Report {
  readonly id: string;
  readonly target: string;
  readonly keys: number;
  readonly commands: number;
  readonly vanishing: number;
  readonly vanishingSample: readonly string[];
}

/** Lets a second end without a write in it, and reads what the server holds then. */
async function quietSecond(
  client: Redis,
): Promise<{ readonly second: number; readonly digest: string; readonly keys: number }> {
  const [second] = (await client.time()).map(Number) as [number, number];
  const digest = String(await client.call('DEBUG', 'DIGEST'));
  const keys = await client.dbsize();
  for (;;) {
    const [now, micros] = (await client.time()).map(Number) as [number, number];
    if (now > second && micros > 50_000) break;
    await pause(20);
  }
  // Keys may have expired while the second ended: what counts is its end.
  const after = String(await client.call('DEBUG', 'DIGEST'));
  return after === digest ? { second, digest, keys } : quietSecond(client);
}

async function untilProven(
  tidemark: (...args: string[]) => Promise<string>,
  at: string,
): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const { latest } = JSON.parse(await tidemark('windows', 'shop', '-o', 'json')) as {
      readonly latest: string | null;
    };
    if (latest !== null && latest >= at) return;
    await pause(200);
  }
  throw new Error(`${at} was not proven in time`);
}

async function serveArchiver(config: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [TIDEMARK, '-c', config, 'serve', 'archiver'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (log.includes('"caught-up"')) resolve();
    });
    child.once('exit', (code) => reject(new Error(`the archiver ended with ${code}: ${log}`)));
  });
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

async function run(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [TIDEMARK, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`tidemark ${args.join(' ')} ended with ${code}`);
  return out;
}

async function disposable(client: Redis): Promise<{ readonly client: Redis } & Disposable> {
  await client.ping();
  return { client, [Symbol.dispose]: () => client.disconnect() };
}

async function processId(client: Redis): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1]);
}

async function gone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await pause(50);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function step(text: string): void {
  const now = Date.now();
  console.log(`${((now - stepAt) / 1000).toFixed(1).padStart(5)} s  ${text}`);
  stepAt = now;
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `   ${line}`)
    .join('\n');
}

await demo();
console.log(`\ndone in ${((Date.now() - started) / 1000).toFixed(1)} s; nothing is left behind`);
