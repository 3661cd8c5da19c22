import { TidemarkError, type Clock } from '@tidemark/core';
import type { NodeLocator } from './locator/node-locator.ts';

const FAST_MS = 200;
const FAST_MS_MAX = 30_000;
const SLOW_MS_MIN = 30_000;
const SLOW_MS_MAX = 300_000;
const DOUBLINGS_MAX = 20;
/** Closed without a word may be a refusal, and may be a node in between that lost the one behind it. */
const SILENT_CLOSES_FAST = 5;

/** Faults that no time mends: a person changes something. Asking often would only fill logs. */
const SLOW_CODES: ReadonlySet<string> = new Set([
  'TM_NODE_AUTH',
  'TM_NODE_RIGHTS',
  'TM_SENTINEL_AUTH',
  'TM_SENTINEL_MASTER',
  'TM_TLS_CLIENT_CERT',
  'TM_TLS_PROTOCOL',
  'TM_TLS_SETTINGS',
  'TM_TLS_VERIFY',
]);

/**
 * The pause before the next attempt to connect, in milliseconds: exponential with full jitter,
 * random(0, min(30 s, 0.2 s × 2^failures)), so that many clients of one node do not come together;
 * for certificates, passwords and rights a slow class of its own, 30 s to 5 min.
 * @param failures - How many attempts failed in a row before this one; 0 after the first.
 * @param error - Why the latest one failed.
 * @param random - From 0 to below 1.
 */
export function backoffMs(
  failures: number,
  error: unknown,
  random: () => number = Math.random,
): number {
  const factor = 2 ** Math.min(failures, DOUBLINGS_MAX);
  if (!isSlow(failures, error)) return random() * Math.min(FAST_MS_MAX, FAST_MS * factor);
  const longest = Math.min(SLOW_MS_MAX, 2 * SLOW_MS_MIN * factor);
  return SLOW_MS_MIN + random() * (longest - SLOW_MS_MIN);
}

/**
 * Waits before the next attempt, but not once other certificates came into force: they may be what was
 * lacking. Resolves early too when the signal is aborted.
 */
export async function pauseBeforeRetry(
  delayMs: number,
  wait: { readonly clock: Clock; readonly signal: AbortSignal; readonly locator: NodeLocator },
): Promise<void> {
  const changed = wait.locator.latest?.tls?.changed;
  const either = changed === undefined ? wait.signal : AbortSignal.any([wait.signal, changed]);
  await wait.clock.sleep(delayMs, either).catch(() => undefined);
}

function isSlow(failures: number, error: unknown): boolean {
  if (!(error instanceof TidemarkError) || !SLOW_CODES.has(error.code)) return false;
  return error.context['reason'] !== 'closed' || failures >= SILENT_CLOSES_FAST;
}
