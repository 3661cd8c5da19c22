import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { Redis } from 'ioredis';

/** A demo is started by make, at the root of the checkout. */
const TIDEMARK = resolve('services/cli/bin/tidemark.js');
const started = Date.now();
let stepAt = started;

/** What `restore` ends with. */
export interface Report {
  readonly id: string;
  readonly target: string;
  readonly keys: number;
  readonly commands: number;
  readonly vanishing: number;
  readonly vanishingSample: readonly string[];
}

/** The command line with the configuration of a demo. */
export type Tidemark = (...args: string[]) => Promise<string>;

/** Lets a second end without a write in it, and reads what the server holds then. */
export async function quietSecond(
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

export async function untilProven(tidemark: Tidemark, at: string): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const { latest } = JSON.parse(await tidemark('windows', 'shop', '-o', 'json')) as {
      readonly latest: string | null;
    };
    if (latest !== null && latest >= at) return;
    await pause(200);
  }
  throw new Error(`${at} was not proven in time`);
}

export async function serveArchiver(config: string): Promise<ChildProcess> {
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

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

export async function run(args: readonly string[]): Promise<string> {
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

export async function disposable(client: Redis): Promise<{ readonly client: Redis } & Disposable> {
  await client.ping();
  return { client, [Symbol.dispose]: () => client.disconnect() };
}

export async function processId(client: Redis): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1]);
}

export async function gone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await pause(50);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function step(text: string): void {
  const now = Date.now();
  console.log(`${((now - stepAt) / 1000).toFixed(1).padStart(5)} s  ${text}`);
  stepAt = now;
}

export function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `   ${line}`)
    .join('\n');
}

/** The last line: how long all of it took. */
export function done(): void {
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`\ndone in ${seconds} s; nothing is left behind`);
}
