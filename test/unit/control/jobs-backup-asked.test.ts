import { controlSocketPath } from '@tidemark/archiver';
import { TidemarkError } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openControlServer } from '../../../services/archiver/src/control/control-server.ts';
import type { ControlRequest } from '../../../services/archiver/src/control/protocol.ts';
import type { HandlerPorts } from '../../../services/control/src/handlers/handler-ports.ts';
import { makeBackup } from '../../../services/control/src/handlers/make-backup.ts';
import type { JobContext } from '../../../services/control/src/jobs/job.ts';
import { TempDir } from '../../support/temp-dir.ts';

const MADE = { backup: 'bk-made', startedMs: 2_000, mode: 'manual' } as const;

let dir: TempDir;
/** Backups that are there. */
let there: (typeof MADE)[];
/** How often the archiver was asked for a backup. */
let asked: number;
/** What it says of the one under way, look by look; the last stays. */
let says: (boolean | null)[];
let passedMs: number;
/** How much passes from one look to the next. */
let stepMs: number;
let lines: string[];
let archiver: AsyncDisposable | null;
beforeEach(async () => {
  dir = await TempDir.create();
  [there, asked, says, lines] = [[], 0, [false], []];
  [passedMs, stepMs, archiver] = [0, 0, null];
});
afterEach(async () => {
  await archiver?.[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

/** Listens as an archiver does. @param backup - What it does when it is asked for one. */
async function listen(backup: () => Promise<unknown>): Promise<void> {
  const answer = ({ method }: ControlRequest): Promise<unknown> => {
    if (method === 'backup') {
      asked += 1;
      return backup();
    }
    const isBackingUp = says.length > 1 ? says.shift() : says[0];
    const captures = [{ instance: 'shop', state: 'caught-up', isBackingUp }];
    return Promise.resolve({ pid: 1, captures, fleet: null });
  };
  archiver = await openControlServer(controlSocketPath(dir.path), answer);
}

async function end(): Promise<void> {
  await archiver?.[Symbol.asyncDispose]();
  archiver = null;
}

function make(wasAsked = false): Promise<string> {
  const job = { id: 'job-1', instance: 'shop', request: { mode: 'manual' } };
  const context = {
    ...{ job, signal: new AbortController().signal, progress: () => undefined },
    log: (_level: string, line: string) => void lines.push(line),
  } as unknown as JobContext;
  const workspace = {
    config: { stateDir: dir.path },
    sync: () => Promise.resolve(),
    catalog: { snapshots: () => there },
  };
  const clock = { monotonicMs: () => (passedMs += stepMs) };
  const ports = { workspace, clock } as unknown as HandlerPorts;
  return makeBackup(context, ports, { before: { before: [], sinceMs: 1_000 }, asked: wasAsked });
}

/** It has ended before it answers. */
const dies = async (): Promise<never> => {
  await end();
  throw new TidemarkError('TM_INTERNAL', 'nobody hears this');
};

describe('makeBackup()', () => {
  it('fails at once where no archiver runs', async () => {
    await expect(make()).rejects.toMatchObject({ code: 'TM_ARCHIVER_DOWN' });
    expect(lines).toEqual([]);
  });

  it('waits for an archiver that ends while it is asked, and takes what that had begun', async () => {
    says = [null, true, true, false];
    await listen(async () => {
      await end();
      await listen(dies);
      return null;
    });
    const made = make();
    await expect.poll(() => says.length, { timeout: 30_000 }).toBe(1);
    there.push(MADE);
    expect(await made).toBe('bk-made');
    expect([asked, lines.length]).toEqual([1, 1]);
  });

  it('asks again where nothing is on its way and nothing was made', async () => {
    says = [true, false];
    await listen(() => Promise.resolve({ backup: 'bk-second' }));
    expect(await make(true)).toBe('bk-second');
    expect(asked).toBe(1);
  });

  it('waits for the one that is under way', async () => {
    says = [false, false];
    await listen(() => {
      there.push(MADE);
      return Promise.reject(new TidemarkError('TM_BUSY', 'one is being made'));
    });
    expect(await make(true)).toBe('bk-made');
    const busy = { code: 'TM_BUSY' };
    there = [];
    await expect(make()).rejects.toMatchObject(busy);
  });

  it('gives up after two minutes without one, and says how to go on', async () => {
    stepMs = 61_000;
    await listen(dies);
    await expect(make()).rejects.toMatchObject({
      ...{ code: 'TM_ARCHIVER_DOWN', hint: expect.stringContaining('resume') as unknown },
    });
    expect(asked).toBe(1);
  });
});
