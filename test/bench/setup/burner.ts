import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** A slice of work, in milliseconds; between slices the burner sleeps. */
const SLICE_MS = 4;

/** Runs in a process of its own: keeps a share of one core busy with nothing. */
const PROGRAM = `
  require('node:os').setPriority(10);
  const share = Number(process.argv[1]);
  const idle = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const end = performance.now() + ${SLICE_MS};
    while (performance.now() < end);
    Atomics.wait(idle, 0, 0, (${SLICE_MS} * (1 - share)) / share);
  }`;

/**
 * A process that takes as much of a core as the archiver did, at the archiver's priority, and does
 * nothing with it: what any process beside the server costs it on this machine.
 */
export class Burner {
  readonly #child: ChildProcess;

  /** @param share - Of one core, above 0 and below 1. */
  constructor(share: number) {
    this.#child = spawn(process.execPath, ['-e', PROGRAM, String(share)], { stdio: 'ignore' });
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
