import { monitorEventLoopDelay } from 'node:perf_hooks';
import { connectNode, type NodeAddress } from '@tidemark/client';
import type { Clock } from '@tidemark/core';
import { LatencyThrottle, type BatchThrottle } from './latency-throttle.ts';
import type { RateLimit } from './rate-limit.ts';

/** How often the server is probed. */
const PROBE_EVERY_MS = 50;
/** Between two looks at how busy this process is. */
const TICK_MS = 1.5;

/** How a server is to be spared. */
export interface SpareOptions {
  readonly clock: Clock;
  readonly latencyMaxMs: number;
  readonly rate: RateLimit | null;
  readonly signal: AbortSignal;
}

/** A throttle that probes its server until it is disposed. */
export interface OpenThrottle extends BatchThrottle, AsyncDisposable {}

/**
 * Opens a throttle with a connection of its own, on which nothing but PING is sent.
 * @throws NodeError as `connectNode`. A probe that fails later ends the probing: the connection that
 *   the work is done on says by itself that the server is gone.
 */
export async function openThrottle(
  address: NodeAddress,
  options: SpareOptions,
): Promise<OpenThrottle> {
  const { clock, signal } = options;
  const throttle = new LatencyThrottle(options);
  const client = await connectNode(address, { signal, name: 'tidemark-probe' });
  const end = new AbortController();
  const ownDelay = monitorEventLoopDelay({ resolution: 1 });
  ownDelay.enable();
  const probe = async (): Promise<void> => {
    while (client.isOpen && !end.signal.aborted) {
      ownDelay.reset();
      const from = clock.monotonicMs();
      await client.call('PING');
      const latencyMs = clock.monotonicMs() - from;
      // While this process was busy the reply lay here: that is not the time of the server.
      const busyMs = Math.max(0, ownDelay.max / 1e6 - TICK_MS);
      throttle.probed(Math.max(0, latencyMs - busyMs));
      await clock.sleep(PROBE_EVERY_MS, end.signal);
    }
  };
  const probing = probe().catch(() => undefined);
  return {
    get window() {
      return throttle.window;
    },
    get batchBytes() {
      return throttle.batchBytes;
    },
    take: (commands, bytes) => throttle.take(commands, bytes),
    note: (latencyMs) => throttle.note(latencyMs),
    async [Symbol.asyncDispose]() {
      end.abort();
      ownDelay.disable();
      await client.close();
      await probing;
    },
  };
}
