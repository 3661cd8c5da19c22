import type { Clock } from '@tidemark/core';
import { TidemarkError } from '@tidemark/core';
import {
  backoffMs,
  connectLocated,
  pauseBeforeRetry,
  takeSample,
  type NodeClient,
  type NodeLocator,
  type NodeSample,
} from '@tidemark/client';

import type { RoundTrip } from './clock-watch.ts';

/** Milliseconds between samples, and how long after a second boundary the extra one is taken. */
const SAMPLE_INTERVAL_MS = 200;
const AFTER_BOUNDARY_MS = 3;

/** What the sampler reports. */
export interface SamplerOptions<Stamp> {
  readonly locator: NodeLocator;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called right before a sample is asked for; its result comes back with the sample. */
  readonly begin: () => Stamp;
  readonly onSample: (sample: NodeSample, stamp: Stamp, trip: RoundTrip) => void;
  /** Called once per loss of the connection, and with null when it is back. */
  readonly onLink: (error: TidemarkError | null) => void;
}

/**
 * Takes a sample every 200 ms and just after each second boundary of the server's clock, over one
 * connection that is opened again with growing pauses when it is lost.
 *
 * The sample after the boundary makes the bounds of a second tight where no annotation stands.
 */
export async function runSampler<Stamp>(options: SamplerOptions<Stamp>): Promise<void> {
  const { signal } = options;
  const stopped = (): boolean => signal.aborted;
  let failures = 0;
  while (!stopped()) {
    try {
      await using client = await connectLocated(options.locator, {
        timeoutMs: 5_000,
        name: 'tidemark-archiver',
        signal,
      });
      options.onLink(null);
      failures = 0;
      await sampleLoop(client, options);
    } catch (error) {
      if (stopped()) return;
      if (!(error instanceof TidemarkError)) throw error;
      if (failures === 0) options.onLink(error);
      failures += 1;
      await pauseBeforeRetry(backoffMs(failures - 1, error), options);
    }
  }
}

async function sampleLoop<Stamp>(
  client: NodeClient,
  options: SamplerOptions<Stamp>,
): Promise<void> {
  const { clock, signal } = options;
  for (;;) {
    signal.throwIfAborted();
    const stamp = options.begin();
    const askedMs = clock.monotonicMs();
    const sample = await takeSample(client);
    const answeredMs = clock.monotonicMs();
    const halfTripMs = (answeredMs - askedMs) / 2;
    options.onSample(sample, stamp, { askedMs, answeredMs });
    const intoSecondMs = (sample.timeUs / 1000 + halfTripMs) % 1000;
    const toBoundaryMs = 1000 - intoSecondMs + AFTER_BOUNDARY_MS;
    await clock.sleep(Math.min(SAMPLE_INTERVAL_MS, toBoundaryMs), signal);
  }
}
