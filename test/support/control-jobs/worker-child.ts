import { writeSync } from 'node:fs';
import type { JobEvent } from '@tidemark/control';
import { openControl } from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';

// A worker of its own process. It says when its job has come to a phase, and then does nothing more, not
// even a beat: it can be killed there.
const [, , configPath = '', phase = ''] = process.argv;

const QUIET = {
  info: () => undefined,
  warn: () => undefined,
  error: (message: string, fields: object = {}) =>
    void writeSync(2, `worker: ${message} ${JSON.stringify(fields)}\n`),
  child: () => QUIET,
};

interface Watched {
  onEvent(listener: (event: JobEvent) => void): () => void;
}

await using control = await openControl({
  ...{ configPath, clock: systemClock, random: systemRandom, logger: QUIET },
  timing: { claimMs: 2_500, beatMs: 500, pollMs: 50 },
});
(control.jobs as unknown as Watched).onEvent(({ job }) => {
  if (job.state !== 'running' || job.progress.phase !== phase) return;
  writeSync(1, `held ${phase}\n`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
await control.run(new AbortController().signal, { workers: true, scheduler: false });
