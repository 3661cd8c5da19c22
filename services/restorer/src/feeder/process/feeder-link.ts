import { NodeError, TidemarkError, type ErrorContext } from '@tidemark/core';
import type { FeederPorts, KnowsCommand } from '../feeder.ts';
import { decodeDocument, encodeDocument } from './document.ts';
import { Lines } from './lines.ts';
import { ANSWER_BYTES_MAX, type FromFeeder, type Task, type ToFeeder } from './protocol.ts';
import type { FeederChild } from './spawn-feeder.ts';
import { errorOf, tellError } from './told-error.ts';

/** The feeding process may take so long to end by itself. */
const END_MS = 5_000;
/** What it said last on its standard error is kept for the error. */
const SAID_MAX = 1_000;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The restore's end of the pipes to its feeding process. When that ends before it was asked to, or
 * the restore is called off, every call is refused.
 */
export class FeederLink {
  readonly #child: FeederChild;
  readonly #ports: FeederPorts;
  readonly #waiting = new Map<number, Waiting>();
  readonly #gone: Promise<void>;
  #failure: Error | null = null;
  #knows: KnowsCommand = () => Promise.resolve(true);
  #said = '';
  #calls = 0;
  #over = false;

  constructor(child: FeederChild, ports: FeederPorts) {
    this.#child = child;
    this.#ports = ports;
    const lines = new Lines(ANSWER_BYTES_MAX);
    child.stdin.on('error', () => undefined); // it is gone: that is told by its end
    child.stdout.on('data', (chunk: Buffer) => this.#read(lines, chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_MAX);
    });
    this.#gone = new Promise((resolve) => {
      child.once('error', (cause) => {
        this.#fail(ended('the feeding process did not start', {}, cause));
        if (child.pid === undefined) resolve();
      });
      child.once('close', (code, signal) => {
        this.#fail(
          ended('the feeding process ended before its work', {
            code,
            signal,
            ...(this.#said === '' ? {} : { said: this.#said.trim() }),
          }),
        );
        resolve();
      });
    });
    const onAbort = (): void => this.#callOff();
    ports.signal.addEventListener('abort', onAbort, { once: true });
    void this.#gone.then(() => ports.signal.removeEventListener('abort', onAbort));
    if (ports.signal.aborted) onAbort();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Answers what the feeding process asks from now on. */
  answerWith(knows: KnowsCommand): void {
    this.#knows = knows;
  }

  /** Has a task done. Throws what the task throws, NodeError `TM_FEEDER`, the signal's reason. */
  async call<T>(task: Task): Promise<T> {
    if (this.#failure !== null) throw this.#failure;
    const id = ++this.#calls;
    const line = encodeDocument({ id, task } satisfies ToFeeder);
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: (result) => resolve(result as T), reject });
      this.#child.stdin.write(line);
    });
  }

  /** Has a task done that nothing may come after unless it was: else the process is gone for it. */
  async settle(task: Task): Promise<void> {
    const timer = this.#killLater();
    try {
      await this.call(task);
    } catch {
      await this.end();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Has the process end, and waits until it is gone. */
  async end(): Promise<void> {
    this.#over = true;
    this.#child.stdin.end();
    const timer = this.#killLater();
    await this.#gone;
    clearTimeout(timer);
  }

  #killLater(): NodeJS.Timeout {
    return setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
  }

  /** It ends with its input; the caller need not wait for that. */
  #callOff(): void {
    const reason: unknown = this.#ports.signal.reason;
    this.#fail(reason instanceof Error ? reason : new Error(String(reason)));
    void this.end();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const { signal } = this.#ports;
    // Ended together with the restore, by whoever ends both.
    const reason: unknown = signal.aborted ? signal.reason : this.#failure;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }

  #read(lines: Lines, chunk: Buffer): void {
    if (this.#failure !== null) return;
    try {
      for (const line of lines.push(chunk)) this.#take(decodeDocument(line) as FromFeeder);
    } catch (cause) {
      this.#fail(ended('the feeding process said what is not understood', {}, cause));
      this.#child.kill('SIGKILL');
    }
  }

  #take(message: FromFeeder): void {
    if ('progress' in message) {
      if (!this.#over) this.#ports.onProgress(message.progress);
    } else if ('ask' in message) void this.#answer(message.ask, message.command);
    else {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ('error' in message) waiting?.reject(errorOf(message.error));
      else waiting?.resolve(message.result);
    }
  }

  async #answer(asked: number, command: string): Promise<void> {
    let answer: ToFeeder;
    try {
      answer = { asked, knows: await this.#knows(command) };
    } catch (error) {
      answer = { asked, error: tellError(error) };
    }
    this.#child.stdin.write(encodeDocument(answer));
  }
}

function ended(message: string, context: ErrorContext, cause?: unknown): TidemarkError {
  return new NodeError('TM_FEEDER', message, {
    context,
    hint: 'what it fed was not handed over; begin again',
    cause,
  });
}
