import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  openAofTail,
  type AofTail,
  type AofTailOptions,
  type Continuity,
  type TailItem,
} from '@tidemark/aof';
import { systemClock } from '@tidemark/system';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function newestSource(dir: string): number {
  let newest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    newest = Math.max(newest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  }
  return newest;
}

/** The pin thread runs compiled code: builds `libs/aof` when its sources are newer. */
export function buildAof(): void {
  const built = join(ROOT, 'libs/aof/dist/tail/pin-worker.js');
  const info = join(ROOT, 'libs/aof/dist/.tsbuildinfo');
  const fresh = existsSync(built) && existsSync(info) ? statSync(info).mtimeMs : 0;
  const sources = ['libs/aof/src/tail', 'libs/aof/src/manifest', 'libs/core/src'];
  if (sources.every((dir) => newestSource(join(ROOT, dir)) <= fresh)) return;
  execFileSync('npx', ['tsc', '-b', 'libs/aof'], { cwd: ROOT, stdio: 'inherit' });
}

/** What was delivered of one increment between `opened` and the next `opened` or `broken`. */
export interface Stretch {
  readonly opened: Extract<TailItem, { kind: 'opened' }>;
  readonly chunks: Buffer[];
  readonly bases: Extract<TailItem, { kind: 'base' }>[];
  ended: number | null;
}

/** Drives a tail and keeps everything it delivers. */
export class AofRun implements AsyncDisposable {
  readonly tail: AofTail;
  readonly items: TailItem[] = [];
  readonly stretches: Stretch[] = [];
  readonly #abort: AbortController;
  #pump: Promise<void> = Promise.resolve();
  #failure: Error | null = null;
  #latest: TailItem['kind'] | null = null;

  private constructor(tail: AofTail, abort: AbortController) {
    this.tail = tail;
    this.#abort = abort;
  }

  static async open(
    options: Partial<AofTailOptions> & { dir: string; paused?: boolean },
  ): Promise<AofRun> {
    const abort = new AbortController();
    const { paused = false, ...settings } = options;
    const tail = await openAofTail({
      resume: null,
      clock: systemClock,
      signal: abort.signal,
      pinBytesMax: 1 << 30,
      pinAgeMaxMs: 3_600_000,
      ...settings,
    });
    const run = new AofRun(tail, abort);
    if (!paused) run.go();
    return run;
  }

  /** Starts taking items. */
  go(): void {
    this.#pump = this.#take();
  }

  async #take(): Promise<void> {
    try {
      for (;;) this.#keep(await this.tail.next());
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (!this.#abort.signal.aborted) this.#failure = failure;
    }
  }

  #keep(item: TailItem): void {
    this.#latest = item.kind;
    if (item.kind !== 'bytes') this.items.push(item);
    if (item.kind === 'opened') {
      this.stretches.push({ opened: item, chunks: [], bases: [], ended: null });
    }
    const stretch = this.stretches.at(-1);
    if (stretch === undefined) return;
    if (item.kind === 'bytes') {
      const before = stretch.chunks.reduce((sum, { length }) => sum + length, 0);
      if (item.position !== stretch.opened.position + before) throw new Error('position jumped');
      stretch.chunks.push(item.data);
    }
    if (item.kind === 'base') stretch.bases.push(item);
    if (item.kind === 'ended') stretch.ended = item.position;
  }

  get last(): Stretch {
    const stretch = this.stretches.at(-1);
    if (stretch === undefined) throw new Error('nothing was opened');
    return stretch;
  }

  continuities(): Continuity[] {
    return this.stretches.map(({ opened }) => opened.continuity);
  }

  broken(): string[] {
    return this.items.flatMap((item) => (item.kind === 'broken' ? [item.reason] : []));
  }

  /** Delivered bytes of one stretch, or of all. */
  bytes(of?: Stretch): Buffer {
    return Buffer.concat((of === undefined ? this.stretches : [of]).flatMap((s) => s.chunks));
  }

  /** The end of everything delivered: at least `count` bytes where there are so many. */
  ending(count: number): Buffer {
    const chunks = this.stretches.flatMap((stretch) => stretch.chunks);
    let first = chunks.length;
    for (let rest = count; first > 0 && rest > 0;) rest -= chunks[--first]?.length ?? 0;
    return Buffer.concat(chunks.slice(first));
  }

  /** Waits until everything the files hold was taken. */
  async idle(): Promise<void> {
    await this.until('idle', () => this.#latest === 'idle');
  }

  /** Waits until something holds; fails with what was delivered. */
  async until(what: string, holds: () => boolean, timeoutMs = 60_000): Promise<void> {
    const start = performance.now();
    while (!holds()) {
      if (this.#failure !== null) throw this.#failure;
      if (performance.now() - start > timeoutMs) {
        const tail = this.items.slice(-12).map((item) => JSON.stringify(item));
        throw new Error(`not within ${timeoutMs} ms: ${what}\n${tail.join('\n')}`);
      }
      await sleep(5);
    }
  }

  /** Stops taking items and ends the thread; pins stay. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error('the test stops'));
    await this.#pump;
    await this.tail[Symbol.asyncDispose]();
    if (this.#failure !== null) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the test ends'));
    await this.#pump;
    await this.tail[Symbol.asyncDispose]();
  }
}
