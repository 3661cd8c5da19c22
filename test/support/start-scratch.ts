import { startServer } from '@tidemark/client';

// Starts a server that must not outlive this process, and waits to be killed.
const { pid, dir } = await startServer({ dir: process.argv[2] ?? '', tcp: false, scratch: true });
process.stdout.write(`${JSON.stringify({ pid, dir })}\n`);
setInterval(() => undefined, 1_000);
