import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { TidemarkError } from '@tidemark/core';
import type { PinOrder, PinReport, PinScoutOptions } from './seen.ts';

/** The compiled worker; a thread cannot load TypeScript sources, so these borrow `dist`. */
function workerUrl(): URL {
  const fromSource = new URL(import.meta.url).pathname.endsWith('.ts');
  const url = new URL(
    fromSource ? '../../dist/tail/pin-worker.js' : './pin-worker.js',
    import.meta.url,
  );
  if (existsSync(fileURLToPath(url))) return url;
  throw new TidemarkError('TM_INTERNAL', 'the pin worker is not built', {
    hint: 'run "npx tsc -b libs/aof" first',
  });
}

/** Called in the order of the worker's reports. */
export interface PinThreadEvents {
  onReport(report: PinReport): void;
  /** The thread died by itself; nothing is pinned any more. */
  onDeath(error: Error): void;
}

/** How long the thread may take to end by itself, in milliseconds. */
const CLOSE_MS = 1_000;

/** The pin thread as seen from the main one. */
export class PinThread {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #looks = new Map<number, () => void>();
  #ticket = 0;
  #closing = false;

  constructor(options: PinScoutOptions, events: PinThreadEvents) {
    // Descriptors that the thread opens to hold files belong to the process: the main side closes.
    this.#worker = new Worker(workerUrl(), {
      workerData: options,
      trackUnmanagedFds: false,
      execArgv: [],
    });
    this.#worker.on('message', (report: PinReport) => {
      if (report.kind !== 'looked') {
        events.onReport(report);
        return;
      }
      this.#looks.get(report.ticket)?.();
      this.#looks.delete(report.ticket);
    });
    let failure: Error | null = null;
    this.#worker.on('error', (error) => {
      failure = error instanceof Error ? error : new Error(String(error));
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        for (const done of this.#looks.values()) done();
        this.#looks.clear();
        if (!this.#closing) events.onDeath(failure ?? new Error('the pin worker ended'));
        resolve();
      });
    });
  }

  /** Resolves when everything the folder shows now has been reported. */
  look(): Promise<void> {
    return new Promise((resolve) => {
      const ticket = ++this.#ticket;
      this.#looks.set(ticket, resolve);
      this.#tell({ kind: 'look', ticket });
    });
  }

  /** Whether the server runs a rewrite. */
  noteRewrite(running: boolean): void {
    this.#tell({ kind: 'rewrite', running });
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#tell({ kind: 'close' });
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #tell(order: PinOrder): void {
    this.#worker.postMessage(order);
  }
}
