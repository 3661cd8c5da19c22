import { execFile } from 'node:child_process';
import { chmod, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TempDir } from '../temp-dir.ts';

const SOURCE = fileURLToPath(new URL('clock-shim.c', import.meta.url));
const run = promisify(execFile);

/**
 * A `redis-server` whose time of day a test sets while it runs, by a library that is compiled now
 * and preloaded. Its monotonic clock goes on as it does.
 */
export class SteppedClock implements AsyncDisposable {
  readonly #temp: TempDir;
  /** Program to be started in place of `redis-server`. */
  readonly binary: string;
  #offsetMs = 0;

  private constructor(temp: TempDir) {
    this.#temp = temp;
    this.binary = join(temp.path, 'redis-server');
  }

  /** Why there can be none here; null when there can. */
  static async missing(): Promise<string | null> {
    if (process.platform !== 'linux') return 'preloading a clock needs Linux';
    return run('cc', ['--version']).then(
      () => null,
      () => 'no C compiler (cc): the preloaded clock cannot be built',
    );
  }

  /** @param server - The program below; default `redis-server` on the PATH. */
  static async open(server = 'redis-server'): Promise<SteppedClock> {
    const temp = await TempDir.create();
    const clock = new SteppedClock(temp);
    const library = join(temp.path, 'clock.so');
    await run('cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE]);
    await writeFile(clock.#file, Buffer.alloc(8));
    const environment = `LD_PRELOAD='${library}' TIDEMARK_TEST_CLOCK='${clock.#file}'`;
    await writeFile(clock.binary, `#!/bin/sh\nexec env ${environment} ${server} "$@"\n`);
    await chmod(clock.binary, 0o700);
    return clock;
  }

  /** By how much the server's clock is ahead of ours, in milliseconds. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Sets the server's clock forward, or back. */
  async step(byMs: number): Promise<void> {
    this.#offsetMs += byMs;
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(this.#offsetMs) * 1000n);
    // In place, in one write: the server has the file mapped.
    const file = await open(this.#file, 'r+');
    try {
      await file.write(bytes, 0, 8, 0);
    } finally {
      await file.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }

  get #file(): string {
    return join(this.#temp.path, 'offset');
  }
}
