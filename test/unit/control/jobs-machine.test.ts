import { describe, expect, it } from 'vitest';
import type { JobState } from '@tidemark/control';
import {
  decide,
  evolve,
  isFree,
  newFold,
  TRIES_MAX,
  type JobCommand,
  type JobFold,
} from '../../../services/control/src/jobs/job-machine.ts';
import { ALICE } from '../../support/job-desk.ts';

const claim = (worker = 'w1', nowMs = 10): JobCommand => ({
  type: 'claim',
  ...{ worker, nowMs, untilMs: nowMs + 100 },
});
/** Of a worker that has seen the claim of `w1` stay as it is. */
const takeOver = (worker: string, nowMs: number, untilMs = 110): JobCommand => ({
  ...{ type: 'claim', worker, nowMs, untilMs: nowMs + 100 },
  silent: { worker: 'w1', untilMs },
});
const grant = (attempt: number, worker = 'w1'): JobCommand => ({ type: 'grant', worker, attempt });
const problem = { code: 'TM_FEED', message: 'the feed broke', hint: null };
const fail: JobCommand = { type: 'fail', worker: 'w1', problem };
const settle: JobCommand = { type: 'settle', worker: 'w1', nowMs: 20 };
const cancel: JobCommand = { type: 'cancel', actor: ALICE, nowMs: 15 };
const resume: JobCommand = { type: 'resume', nowMs: 30 };
const release: JobCommand = { type: 'release', worker: 'w1', notBeforeMs: 50, excused: false };
const succeed: JobCommand = {
  type: 'succeed',
  ...{ worker: 'w1', nowMs: 20, outcome: { state: 'succeeded', result: { keys: 3 } } },
};

function after(...commands: readonly JobCommand[]): JobFold {
  const first = newFold({
    ...{ id: 'job-1', kind: 'restore', instance: 'orders', actor: ALICE, request: {} },
    createdMs: 1,
  });
  return commands.reduce((fold, command) => {
    const change = decide(fold, command);
    return change === null ? fold : evolve(fold, change);
  }, first);
}

const states: Readonly<Record<string, readonly [JobState, readonly JobCommand[]]>> = {
  'a new one waits': ['queued', []],
  'a claimed one runs': ['running', [claim()]],
  'one that is let go waits': ['queued', [claim(), release]],
  'one that did its work has succeeded': ['succeeded', [claim(), succeed]],
  'one whose failure is to be cleaned up still runs': ['running', [claim(), fail]],
  'one that is cleaned up has failed': ['failed', [claim(), fail, settle]],
  'one that nobody began is cancelled at once': ['cancelled', [cancel]],
  'one that runs is cancelled by its worker': ['cancelling', [claim(), cancel]],
  'one that waits after an attempt has traces': ['cancelling', [claim(), release, cancel]],
  'one whose traces are gone is cancelled': ['cancelled', [claim(), cancel, settle]],
  'what was done before the cancel came is done': ['succeeded', [claim(), cancel, succeed]],
  'a cancel goes before a failure': ['cancelled', [claim(), cancel, fail, settle]],
  'a failed one that is resumed waits': ['queued', [claim(), fail, settle, resume]],
  'a cancelled one that is resumed waits': ['queued', [cancel, resume]],
};

describe('a job', () => {
  for (const [name, [state, commands]] of Object.entries(states)) {
    it(name, () => expect(after(...commands).job.state).toBe(state));
  }

  it('keeps why it failed and what it made', () => {
    expect(after(claim(), fail, settle).job).toMatchObject({ problem, resumable: true });
    expect(after(claim(), succeed).job).toMatchObject({
      result: { keys: 3 },
      ...{ resumable: false, endedMs: 20, worker: null },
    });
    expect(after(claim(), fail, settle, resume).job.problem).toBeNull();
  });

  it('is free when it waits, and when its worker is not heard of', () => {
    expect(isFree(after(), 1)).toBe(true);
    const silent = { worker: 'w1', untilMs: 110 };
    expect(isFree(after(claim()), 20, silent)).toBe(true);
    expect(isFree(after(claim()), 20, { ...silent, untilMs: 100 })).toBe(false);
    expect(isFree(after(claim()), 20, { ...silent, worker: 'w2' })).toBe(false);
    expect(isFree(after(claim(), release), 49)).toBe(false);
    expect(isFree(after(claim(), cancel), 20, silent)).toBe(true);
    expect(isFree(after(claim(), succeed), 1000)).toBe(false);
  });

  it('is refused to a second worker that has not seen the first one silent, whatever the time', () => {
    const year = 366 * 86_400_000;
    for (const second of [claim('w2', 50), claim('w2', year), takeOver('w2', 50, 109)]) {
      expect(() => after(claim(), second)).toThrow(
        expect.objectContaining({ code: 'TM_JOB_STATE' }),
      );
    }
    expect(after(claim(), takeOver('w2', 50)).job).toMatchObject({ worker: 'w2' });
  });

  it('takes no word of a worker that lost it', () => {
    const lost = after(claim(), takeOver('w2', 110));
    for (const command of [grant(1), succeed, fail, settle, release]) {
      expect(() => decide(lost, command)).toThrow(expect.objectContaining({ code: 'TM_JOB_LOST' }));
    }
  });

  it('has no attempt that the log did not grant, and is asked for anew from the last one on', () => {
    expect(after(claim(), release, claim('w1', 60), release).job.attempt).toBe(0);
    const once = after(claim(), grant(3), fail, settle, resume);
    expect(once).toMatchObject({ ordered: 3, job: { attempt: 3 } });
    const waits = [claim('w1', 30), release, claim('w1', 60), release];
    expect(after(claim(), grant(3), fail, settle, resume, ...waits).job.attempt).toBe(3);
  });

  it('is resumed until its hundredth attempt', () => {
    const round = (count: number): JobCommand[] =>
      Array.from({ length: count }, (_, i) => [
        ...[claim('w1', 30), grant(i + 1), fail, settle, resume],
      ]).flat();
    expect(after(...round(99)).job).toMatchObject({ state: 'queued', attempt: 99 });
    expect(() => after(...round(100))).toThrow(expect.objectContaining({ code: 'TM_JOB_STATE' }));
  });

  it('is not cancelled after its end, nor resumed before it', () => {
    expect(() => after(claim(), succeed, cancel)).toThrow(
      expect.objectContaining({ code: 'TM_JOB_OVER' }),
    );
    for (const commands of [[], [claim()], [claim(), succeed]]) {
      expect(() => after(...commands, resume)).toThrow(
        expect.objectContaining({ code: 'TM_JOB_STATE' }),
      );
    }
  });

  it('that ends its workers is given up after some attempts, and cleaned up', () => {
    let fold = after();
    for (let i = 0; i < TRIES_MAX; i++) {
      const change = decide(fold, takeOver('w1', 1000 * (i + 1), 1000 * i + 100));
      fold = evolve(fold, change ?? { type: 'cancelling' });
      expect(fold.failing).toBeNull();
    }
    const change = decide(fold, takeOver('w1', 100_000, 1000 * TRIES_MAX + 100));
    expect(evolve(fold, change ?? { type: 'cancelling' }).failing?.code).toBe('TM_JOB_LOST');
  });

  it('that is let go for no fault of its own has all its attempts', () => {
    const excused: JobCommand = { ...release, excused: true };
    expect(after(claim(), excused).tries).toBe(0);
    expect(after(claim(), release).tries).toBe(1);
  });
});
