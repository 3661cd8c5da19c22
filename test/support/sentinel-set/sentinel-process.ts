import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectNode, type NodeAddress, type NodeClient } from '@tidemark/client';
import { freePort } from '../tls/tls-server.ts';
import { TempDir } from '../temp-dir.ts';

const READY_MS = 90_000;
const ATTEMPTS_MAX = 5;

/** How a test wants its Sentinel. */
export interface SentinelOptions {
  readonly binary?: string;
  /** Lines of sentinel.conf beside port and folder. */
  readonly lines: readonly string[];
  /** A command that it is given after each start; a refusal does not matter. */
  readonly greeting?: readonly string[];
  /** Listens with TLS only. */
  readonly tls?: boolean;
  /** User, password and TLS that the test itself comes with. */
  readonly login?: Omit<NodeAddress, 'host' | 'port'>;
}

/** A real Sentinel on a free port of the loopback, with a folder of its own. */
export class SentinelProcess implements AsyncDisposable {
  readonly address: NodeAddress;
  readonly #dir: TempDir;
  readonly #options: SentinelOptions;
  #child: ChildProcess;

  private constructor(
    dir: TempDir,
    options: SentinelOptions,
    started: { readonly address: NodeAddress; readonly child: ChildProcess },
  ) {
    this.#dir = dir;
    this.#options = options;
    this.address = started.address;
    this.#child = started.child;
  }

  static async start(options: SentinelOptions): Promise<SentinelProcess> {
    const dir = await TempDir.create('tidemark-sentinel-');
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const address = { ...options.login, host: '127.0.0.1', port };
      const lines = [
        ...(options.tls === true ? ['port 0', `tls-port ${port}`] : [`port ${port}`]),
        'bind 127.0.0.1',
        `dir ${dir.path}`,
        ...options.lines,
      ];
      await writeFile(join(dir.path, 'sentinel.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
      const child = await launch(dir.path, options);
      const sentinel = new SentinelProcess(dir, options, { address, child });
      const ready = await sentinel.#waitReady();
      if (ready === null) return sentinel;
      await sentinel.kill();
      if (attempt < ATTEMPTS_MAX && /address already in use/i.test(ready)) continue;
      await dir[Symbol.asyncDispose]();
      throw new Error(`a Sentinel did not start: ${ready}`);
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  log(): Promise<string> {
    return readFile(join(this.#dir.path, 'sentinel.log'), 'utf8');
  }

  connect(): Promise<NodeClient> {
    return connectNode(this.address, { name: 'test' });
  }

  /** SIGKILL and wait; the folder stays. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  /** Starts again with what it knew. */
  async restart(): Promise<void> {
    await this.kill();
    this.#child = await launch(this.#dir.path, this.#options);
    const fault = await this.#waitReady();
    if (fault !== null) throw new Error(`a Sentinel did not start again: ${fault}`);
  }

  /** @returns Null, or why it does not answer. */
  async #waitReady(): Promise<string | null> {
    const end = performance.now() + READY_MS;
    while (performance.now() < end) {
      await delay(20);
      if (this.#child.exitCode !== null) return this.log();
      const client = await this.connect().catch(() => null);
      if (client === null) continue;
      await using open = client;
      await open.pipeline([this.#options.greeting ?? ['PING']]);
      return null;
    }
    return `no answer within ${READY_MS} ms; ${await this.log()}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#dir[Symbol.asyncDispose]();
  }
}

async function launch(dir: string, options: SentinelOptions): Promise<ChildProcess> {
  const log = await open(join(dir, 'sentinel.log'), 'a', 0o600);
  try {
    const words = [join(dir, 'sentinel.conf'), '--sentinel'];
    const child = spawn(options.binary ?? 'redis-server', words, {
      cwd: dir,
      stdio: ['ignore', log.fd, log.fd],
    });
    await once(child, 'spawn');
    return child;
  } finally {
    await log.close();
  }
}
