import { TidemarkError } from '@tidemark/core';
import type { FeederPorts, FeederProgress, RunningFeed, Feeder } from '../feeder.ts';
import { LocalFeeder } from '../local-feeder.ts';
import type { FeederSources } from '../opened-order.ts';
import { decodeDocument, DOCUMENT_BYTES_MAX, encodeDocument } from './document.ts';
import { Lines } from './lines.ts';
import type { FeederSettings, FromFeeder, Task, ToFeeder, ToldOutcome } from './protocol.ts';
import { errorOf, tellError } from './told-error.ts';

/** Progress within one phase is told so often. */
const PROGRESS_MS = 100;

/** What the feeding process runs on. */
export interface ServeFeederOptions {
  /** Ends when the restore has ended, whatever the reason. */
  readonly input: AsyncIterable<Buffer>;
  readonly write: (line: string) => void;
  /** Opens store and keys. */
  readonly open: (settings: FeederSettings) => Promise<FeederSources>;
  readonly monotonicMs: () => number;
}

/**
 * Does what it is told on its input until that ends; then every key is zero-filled.
 * @throws TidemarkError `TM_LIMIT`; SyntaxError for a line that is none of the language.
 */
export async function serveFeeder(options: ServeFeederOptions): Promise<void> {
  const lines = new Lines(DOCUMENT_BYTES_MAX);
  const ended = new AbortController();
  const server = new FeederServer(options, ended.signal);
  try {
    for await (const chunk of options.input) {
      for (const line of lines.push(chunk)) server.take(decodeDocument(line) as ToFeeder);
    }
  } finally {
    ended.abort(new TidemarkError('TM_CANCELLED', 'the restore has ended'));
    await server.end();
  }
}

/** The feeding end of the pipe. Tasks run beside each other: a feed is waited for and ended. */
class FeederServer {
  readonly #options: ServeFeederOptions;
  readonly #signal: AbortSignal;
  readonly #asked = new Map<number, (answer: ToFeeder) => void>();
  #feeder: LocalFeeder | null = null;
  #feed: RunningFeed | null = null;
  #asks = 0;
  #told: { phase: string; atMs: number } = { phase: '', atMs: -Infinity };

  constructor(options: ServeFeederOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  take(message: ToFeeder): void {
    if ('asked' in message) {
      this.#asked.get(message.asked)?.(message);
      this.#asked.delete(message.asked);
      return;
    }
    const { id, task } = message;
    this.#perform(task).then(
      (result) => this.#tell({ id, result: result ?? null }),
      (error: unknown) => this.#tell({ id, error: tellError(error) }),
    );
  }

  async end(): Promise<void> {
    await this.#feeder?.[Symbol.asyncDispose]();
  }

  async #perform(task: Task): Promise<unknown> {
    switch (task.do) {
      case 'open':
        return this.#open(task.settings);
      case 'boundary': {
        const { place, offset, floor, segments } = task;
        return this.#opened.look(place).boundary(offset, floor, segments);
      }
      case 'start': {
        const { place, offset, segments, within } = task;
        return this.#opened.look(place).commandStart(offset, segments, within);
      }
      case 'order':
        return this.#opened.order(task.order);
      case 'verify':
        return this.#opened.verify(task.depth);
      case 'changes':
        return this.#opened.changesFor(task.form, this.#knows);
      case 'gives':
        return this.#opened.mayGiveKeys();
      case 'forecast':
        return this.#opened.forecast(task.untilMs);
      case 'dying':
        return (await this.#opened.dyingKeys(task.untilMs)).state;
      case 'feed': {
        this.#feed = await this.#opened.feed(task.call, this.#knows);
        return { port: this.#feed.port };
      }
      case 'finished': {
        if (this.#feed === null) throw outOfTurn();
        const { dying, ...outcome } = await this.#feed.finished();
        return { ...outcome, dying: dying.state } satisfies ToldOutcome;
      }
      case 'unfeed':
        await this.#feed?.[Symbol.asyncDispose]();
        return null;
    }
  }

  async #open(settings: FeederSettings): Promise<null> {
    const ports: FeederPorts = { signal: this.#signal, onProgress: (told) => this.#progress(told) };
    const sources = await this.#options.open(settings);
    this.#feeder = new LocalFeeder(sources, ports);
    return null;
  }

  get #opened(): Feeder {
    if (this.#feeder === null) throw outOfTurn();
    return this.#feeder;
  }

  readonly #knows = (command: string): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const ask = ++this.#asks;
      this.#asked.set(ask, (answer) => {
        if ('knows' in answer) resolve(answer.knows);
        else reject('error' in answer ? errorOf(answer.error) : outOfTurn());
      });
      this.#signal.addEventListener('abort', () => reject(outOfTurn()), { once: true });
      this.#tell({ ask, command });
    });

  #progress(progress: FeederProgress): void {
    const atMs = this.#options.monotonicMs();
    const { phase } = progress;
    if (phase === this.#told.phase && atMs - this.#told.atMs < PROGRESS_MS) return;
    this.#told = { phase, atMs };
    this.#tell({ progress });
  }

  #tell(message: FromFeeder): void {
    this.#options.write(encodeDocument(message));
  }
}

function outOfTurn(): TidemarkError {
  return new TidemarkError('TM_INTERNAL', 'the feeding process was told something out of turn');
}
