import { join } from 'node:path';
import type { Logger } from '@tidemark/archiver';
import type { Actor, JobHandler, JobKind, Json } from '@tidemark/control';
import type { Clock } from '@tidemark/core';
import { systemRandom } from '@tidemark/system';
import { Audit } from '../../services/control/src/audit/audit.ts';
import { LocalJobDesk } from '../../services/control/src/jobs/job-desk.ts';
import { JobRows } from '../../services/control/src/jobs/job-rows.ts';
import { StateDatabase } from '../../services/control/src/state/database.ts';

/** Who asks in tests. */
export const ALICE: Actor = { name: 'alice', via: 'cli' };

/** Says nothing. */
export const QUIET: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => QUIET,
};

/** A clock that a test sets. */
export class SetClock implements Clock {
  ms = 1_800_000_000_000;

  nowMs(): number {
    return this.ms;
  }

  monotonicMs(): number {
    return this.ms;
  }

  sleep(): Promise<void> {
    return Promise.resolve();
  }
}

/** A handler that does nothing by itself. */
export function idleHandler(kind: JobKind, more: Partial<JobHandler> = {}): JobHandler {
  return {
    kind,
    check: ({ request }) => request,
    exclusive: () => null,
    run: () => Promise.resolve({ state: 'succeeded', result: null as Json }),
    cleanUp: () => Promise.resolve(),
    ...more,
  };
}

/** A desk on a database of its own. */
export interface DeskRun extends Disposable {
  readonly desk: LocalJobDesk;
  readonly rows: JobRows;
  readonly audit: Audit;
  readonly state: StateDatabase;
  readonly path: string;
}

/** Opens a desk in a folder, as each process of a host does. */
export function openDesk(
  dir: string,
  clock: Clock,
  options: { readonly bytesMax?: number; readonly handlers?: readonly JobHandler[] } = {},
): DeskRun {
  const path = join(dir, 'control.db');
  const { bytesMax, handlers = [idleHandler('restore')] } = options;
  const state = StateDatabase.open({
    ...{ path, clock, logger: QUIET },
    ...(bytesMax === undefined ? {} : { bytesMax }),
  });
  const rows = new JobRows(state);
  const audit = new Audit(state, clock);
  const desk = new LocalJobDesk({
    ...{ rows, audit, clock, random: systemRandom },
    digestKey: () => Promise.resolve(Buffer.alloc(32, 7)),
  });
  for (const handler of handlers) desk.use(handler);
  return { desk, rows, audit, state, path, [Symbol.dispose]: () => state[Symbol.dispose]() };
}
