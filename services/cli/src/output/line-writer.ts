import { once } from 'node:events';

/** Whether whoever read the standard output has gone; once true it stays so. */
let closed = false;
let listening = false;

function listen(): void {
  if (listening) return;
  listening = true;
  process.stdout.on('error', (error: Error) => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error;
    closed = true;
  });
}

/**
 * Writes many lines to the standard output without holding them: `line` gathers, `flush` writes and
 * waits until they are taken.
 */
export class LineWriter {
  #lines: string[] = [];

  constructor() {
    listen();
  }

  /** Whether nobody reads any more (`| head`): then there is no use in going on. */
  get closed(): boolean {
    return closed;
  }

  line(text: string): void {
    this.#lines.push(text);
  }

  /** @throws TidemarkError `TM_CANCELLED` when Ctrl-C comes while the reader is slow. */
  async flush(signal: AbortSignal): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = `${this.#lines.join('\n')}\n`;
    this.#lines = [];
    if (closed || process.stdout.write(text)) return;
    try {
      await once(process.stdout, 'drain', { signal });
    } catch (cause) {
      signal.throwIfAborted();
      if (!this.closed) throw cause;
    }
  }
}
