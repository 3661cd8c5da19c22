import { serveApi } from '@tidemark/control';
import type { Invocation } from '../invocation.ts';

/** Flags of `serve api` and `serve all`. */
export interface ServeApiFlags {
  readonly listen?: string;
  /** `--no-workers`. */
  readonly workers: boolean;
  readonly takeOver?: boolean;
}

/** Serves the API in the foreground until SIGTERM or Ctrl-C. */
export async function runApi(flags: ServeApiFlags, invocation: Invocation): Promise<void> {
  const { listen = null, workers } = flags;
  const { configPath, signal } = invocation;
  await serveApi({ configPath, listen, workers }, signal);
}

/** Runs archiver and API in one process: when one of them ends, the other one does. */
export async function runAll(flags: ServeApiFlags, invocation: Invocation): Promise<void> {
  const { serve } = await import('./serve.ts');
  const over = new AbortController();
  const both = { ...invocation, signal: AbortSignal.any([invocation.signal, over.signal]) };
  const parts = [serve({ takeOver: flags.takeOver === true }, both), runApi(flags, both)];
  try {
    await Promise.race(parts);
  } finally {
    over.abort(new Error('the other service of this process has ended'));
    await Promise.allSettled(parts);
  }
  await Promise.all(parts);
}
