import type { Control } from '@tidemark/control';
import { systemClock } from '@tidemark/system';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Invocation } from '../../../services/cli/src/invocation.ts';
import { runJob } from '../../../services/cli/src/commands/run-job.ts';
import { idleHandler, openDesk, type DeskRun } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

let dir: TempDir;
let desk: DeskRun;
let stop: AbortController;
beforeEach(async () => {
  dir = await TempDir.create();
  stop = new AbortController();
  const check = (): null => {
    stop.abort(new Error('Ctrl-C'));
    return null;
  };
  desk = openDesk(dir.path, systemClock, { handlers: [idleHandler('clear-data', { check })] });
});
afterEach(async () => {
  desk[Symbol.dispose]();
  await dir[Symbol.asyncDispose]();
});

it.each([true, false])(
  'Ctrl-C while a job is asked for calls it off, detached %s',
  async (detach) => {
    const printer = { progress: () => undefined, warn: () => undefined, result: () => undefined };
    const run = (signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    const control = { jobs: desk.desk, run } as unknown as Control;
    const invocation = { configPath: '', printer, signal: stop.signal } as unknown as Invocation;
    const asked = { kind: 'clear-data', instance: 'orders', request: {}, detach } as const;
    await runJob(asked, control, invocation, () => []).catch(() => undefined);
    const { jobs } = desk.desk.list({ pageSize: 10 });
    expect(jobs).toMatchObject([{ kind: 'clear-data', state: 'cancelled', attempt: 0 }]);
    // And none is asked for afterwards.
    await expect(runJob(asked, control, invocation, () => [])).rejects.toThrow('Ctrl-C');
    expect(desk.desk.list({ pageSize: 10 }).jobs).toHaveLength(1);
  },
);
