import { serveWorker } from '@tidemark/control';
import type { Invocation } from '../invocation.ts';

/** Works off jobs in the foreground until SIGTERM or Ctrl-C. */
export async function serveRestorer({ configPath, signal }: Invocation): Promise<void> {
  await serveWorker(configPath, signal);
}
