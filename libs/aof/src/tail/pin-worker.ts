import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { PinScout } from './pin-scout.ts';
import { SingleScout } from './single/single-scout.ts';
import type { PinOrder, PinReport, PinScoutOptions } from './seen.ts';

// Entry of the pin thread: it does nothing but pin. See pin-keeper.ts for the other end.

/** Before ordinary processes where that is allowed, else beside them, else as its own process. */
const NICE_VALUES = [-10, 0];

/**
 * A process that steps back for others must not be late with a pin: on a host whose cores are all
 * busy a small rewrite begins and ends within one slice of another process. It costs next to nothing.
 */
function keepPriority(): void {
  for (const nice of NICE_VALUES) {
    try {
      setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), nice);
      return;
    } catch {
      // Only a privileged process may go below 0, and some may not even go back to it.
    }
  }
}

const port = parentPort;
if (port === null) throw new Error('pin-worker is started as a worker thread');

const options = workerData as PinScoutOptions;
const tell = (report: PinReport): void => {
  port.postMessage(report);
};
const scout =
  options.layout === 'single-file' ? new SingleScout(options, tell) : new PinScout(options, tell);

port.on('message', (order: PinOrder) => {
  switch (order.kind) {
    case 'look':
      scout.look();
      port.postMessage({ kind: 'looked', ticket: order.ticket } satisfies PinReport);
      return;
    case 'rewrite':
      scout.noteRewrite(order.running);
      return;
    case 'close':
      scout.close();
      port.close();
      return;
  }
});

keepPriority();
scout.start();
