import { NodeError } from '@tidemark/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { RewriteAsker } from '../../../../services/archiver/src/capture/rewrite-asker.ts';
import type { RewriteNeed } from '../../../../services/archiver/src/ship/snapshot-policy.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

let clock: SteppingClock;
let need: RewriteNeed | null;
let quiet: boolean;
let answer: Promise<void>;
let asked: number[];
let warned: unknown[];
let asker: RewriteAsker;
beforeEach(() => {
  clock = steppingClock(0);
  need = 'no-snapshot';
  quiet = true;
  answer = Promise.resolve();
  asked = [];
  warned = [];
  const logger = {
    info: () => undefined,
    warn: (_: string, fields: unknown) => void warned.push(fields),
    error: () => undefined,
    child: () => logger,
  };
  asker = new RewriteAsker({
    clock,
    logger,
    need: () => need,
    isQuiet: () => quiet,
    ask: () => {
      asked.push(clock.now);
      return answer;
    },
  });
});

/** Looks every second. */
async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    asker.look();
    await asker.settled();
    clock.now += 1_000;
  }
}

describe('RewriteAsker', () => {
  it('asks for the first snapshot after two seconds, then with pauses that double', async () => {
    await pass(100);
    expect(asked).toEqual([2_000, 12_000, 32_000, 72_000]);
  });

  it('gives a server a minute to rewrite a long log by itself', async () => {
    need = 'long-log';
    await pass(700);
    expect(asked).toEqual([60_000, 660_000]);
  });

  it('asks nothing while nothing is needed, a snapshot is under way, or the node is busy', async () => {
    need = 'none';
    await pass(200);
    need = null;
    await pass(200);
    need = 'no-snapshot';
    quiet = false;
    await pass(200);
    expect(asked).toEqual([]);
    quiet = true;
    await pass(1);
    expect(asked).toHaveLength(1);
  });

  it('keeps its pauses while a snapshot fails again and again', async () => {
    await pass(3);
    need = null;
    await pass(1);
    need = 'no-snapshot';
    await pass(100);
    expect(asked).toEqual([2_000, 12_000, 32_000, 72_000]);
  });

  it('keeps them when a log breaks again and again behind a snapshot that was stored', async () => {
    for (let second = 0; second < 600; second += 6) {
      need = 'no-snapshot';
      await pass(4);
      need = 'none';
      await pass(2);
    }
    expect(asked).toEqual([2_000, 14_000, 38_000, 80_000, 164_000, 326_000]);
  });

  it('forgets them once a snapshot was enough for ten minutes', async () => {
    await pass(100);
    need = 'none';
    await pass(601);
    need = 'no-snapshot';
    await pass(4);
    expect(asked.slice(4)).toEqual([703_000]);
  });

  it('says what a node refused, and tries again later', async () => {
    answer = Promise.reject(new NodeError('TM_NODE_RIGHTS', 'may not'));
    answer.catch(() => undefined);
    await pass(13);
    expect(asked).toEqual([2_000, 12_000]);
    expect(warned).toEqual([
      { reason: 'no-snapshot', code: 'TM_NODE_RIGHTS' },
      { reason: 'no-snapshot', code: 'TM_NODE_RIGHTS' },
    ]);
  });
});
