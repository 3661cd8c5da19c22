import { setTimeout as delay } from 'node:timers/promises';
import type { JobDocument } from './control-host.ts';

const AGAIN_MS = 100;

/** An event, as it came. */
export interface SeenEvent {
  readonly id: number;
  readonly job: JobDocument;
}

/** Follows a job over connections that break: it comes again with the id of the last event it has seen. */
export class EventFollower {
  readonly seen: SeenEvent[] = [];
  /** How often a connection ended before the job did. */
  breaks = 0;
  readonly #url: string;
  readonly #token: string;
  #connection = new AbortController();
  readonly #over = new AbortController();
  readonly done: Promise<void>;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
    this.done = this.#follow();
  }

  /** Cuts the connection. */
  cut(): void {
    this.#connection.abort(new Error('cut off by the test'));
  }

  /** Ends the following. */
  async stop(): Promise<void> {
    this.#over.abort(new Error('the test is over'));
    this.cut();
    await this.done;
  }

  async #follow(): Promise<void> {
    while (!this.#over.signal.aborted) {
      this.#connection = new AbortController();
      await this.#connect(this.#connection.signal).catch(() => undefined);
      if (this.seen.at(-1)?.job.endedAt != null) return;
      this.breaks += 1;
      await delay(AGAIN_MS);
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const last = this.seen.at(-1)?.id;
    const response = await fetch(this.#url, {
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(last === undefined ? {} : { 'last-event-id': last.toString() }),
      },
      signal,
    });
    if (response.body === null || !response.ok) return;
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const frames = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) this.#take(frame);
    }
  }

  #take(frame: string): void {
    const [, id] = /^id: (\d+)$/m.exec(frame) ?? [];
    const [, data] = /^data: (.*)$/m.exec(frame) ?? [];
    if (id === undefined || data === undefined) return;
    this.seen.push({ id: Number(id), job: JSON.parse(data) as JobDocument });
  }
}
