import { decideClaim, EMPTY_WRITER_STATE, evolve, type WriterState } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { claimed, heartbeat, released, START_MS } from '../../support/log-events.ts';

const owned: WriterState = evolve(
  EMPTY_WRITER_STATE,
  claimed({ generation: 4 }),
  0,
  'a'.repeat(64),
);
const beating = evolve(
  owned,
  heartbeat(0n, { timeline: null, atMs: START_MS + 5_000 }),
  1,
  'b'.repeat(64),
);
const other = { ownerId: 'spool-b', takeOver: false, heartbeatMs: 20_000 };

describe('decideClaim()', () => {
  it('gives an empty log to the first who asks', () => {
    expect(decideClaim(EMPTY_WRITER_STATE, { ...other, nowMs: 5 })).toEqual({
      type: 'OwnerClaimed',
      generation: 1,
      ownerId: 'spool-b',
      atMs: 5,
      tookOver: false,
    });
  });

  it('refuses while another owner wrote within three heartbeats, and says how long to wait', () => {
    const nowMs = START_MS + 5_000 + 59_999;
    let caught: unknown;
    try {
      decideClaim(beating, { ...other, nowMs });
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({
      code: 'TM_LOG_OWNER',
      exitCode: 11,
      context: { ownerId: 'spool-a', generation: 4, ageMs: 59_999, waitMs: 1 },
    });
    expect((caught as TidemarkError).hint).toMatch(/wait 1 s.*--take-over/);
  });

  it('gives the log to another once three heartbeats have passed', () => {
    const event = decideClaim(beating, { ...other, nowMs: START_MS + 65_000 });
    expect(event).toMatchObject({ generation: 5, ownerId: 'spool-b', tookOver: true });
  });

  it('takes over at once when told to, and says so in the log', () => {
    const event = decideClaim(beating, { ...other, takeOver: true, nowMs: START_MS + 5_001 });
    expect(event).toMatchObject({ generation: 5, tookOver: true });
  });

  it('does not wait for an owner whose clock runs ahead to catch up when it takes over', () => {
    const early = { ...other, nowMs: START_MS - 3_600_000 };
    expect(() => decideClaim(beating, early)).toThrow(/another archiver/);
    expect(decideClaim(beating, { ...early, takeOver: true })).toMatchObject({ generation: 5 });
  });

  it('lets the same spool go on at once with a new generation', () => {
    const event = decideClaim(beating, { ...other, ownerId: 'spool-a', nowMs: START_MS + 5_001 });
    expect(event).toMatchObject({ generation: 5, tookOver: false });
  });

  it('need not wait after a clean stop', () => {
    const state = evolve(beating, released(4, START_MS + 6_000), 2, 'c'.repeat(64));
    const event = decideClaim(state, { ...other, nowMs: START_MS + 6_001 });
    expect(event).toMatchObject({ generation: 5, tookOver: false });
  });
});
