import { startServer } from '@tidemark/client';

// Starts a server that is to outlive this process, and tells where it is.
const { port, pid } = await startServer({ dir: process.argv[2] ?? '', detached: true });
process.stdout.write(JSON.stringify({ port, pid }));
