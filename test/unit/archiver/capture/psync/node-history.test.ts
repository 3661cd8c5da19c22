import { describe, expect, it } from 'vitest';
import {
  causeOfResync,
  goesOnBehind,
  type NodeHistory,
} from '../../../../../services/archiver/src/capture/psync/node-history.ts';

const [OURS, OTHER, NONE] = ['a'.repeat(40), 'b'.repeat(40), '0'.repeat(40)];
const NODE: NodeHistory = {
  ...{ runId: 'r1', role: 'master', replid: OURS, offset: 1_000n },
  ...{ replid2: NONE, secondOffset: -1n, backlogFrom: 501n },
};
/** A node that was promoted: up to byte 800 it has our history, and then its own. */
const PROMOTED: NodeHistory = { ...NODE, replid: OTHER, replid2: OURS, secondOffset: 801n };
const at = (offset: bigint, replid = OURS) => ({ replid, offset });
const past = { runId: 'r1', wasFull: false };

describe('goesOnBehind()', () => {
  it.each<[string, bigint, NodeHistory, boolean]>([
    ['the first byte of the backlog', 500n, NODE, true],
    ['its end, where nothing follows yet', 1_000n, NODE, true],
    ['a byte before the backlog', 499n, NODE, false],
    ['a byte that the node does not have', 1_001n, NODE, false],
    ['the last byte before a promotion', 800n, PROMOTED, true],
    ['a byte that only the former primary has', 801n, PROMOTED, false],
    ['anything without a backlog', 700n, { ...NODE, backlogFrom: null }, false],
    ['anything of another history', 700n, { ...NODE, replid: OTHER }, false],
  ])('is told of %s', (_, offset, node, goesOn) => {
    expect(goesOnBehind(at(offset), node)).toBe(goesOn);
  });
});

describe('causeOfResync()', () => {
  it('is that nobody knew where to go on, when nothing was asked for', () => {
    expect(causeOfResync(null, at(5n), NODE, past)).toMatchObject({
      reason: 'capture-down',
    });
  });

  it('proves nothing at the very offset that was reached: a node that has it goes on', () => {
    const cause = causeOfResync(at(900n), at(900n), NODE, past);
    expect(cause.reason).toBe('backlog-overrun');
    expect(cause).not.toHaveProperty('provesHole');
  });

  it('is an overrun backlog, or our own full spool, in the same history', () => {
    const [asked, given] = [at(100n), at(900n)];
    expect(causeOfResync(asked, given, NODE, past).reason).toBe('backlog-overrun');
    const full = { ...past, wasFull: true };
    expect(causeOfResync(asked, given, NODE, full).reason).toBe('spool-full');
  });

  it('is a divergent tail when the node has less than we, or another history', () => {
    expect(causeOfResync(at(950n), at(900n), NODE, past).reason).toBe('divergent-tail');
    const asked = at(950n);
    const given = at(1_000n, OTHER);
    expect(causeOfResync(asked, given, PROMOTED, past).reason).toBe('divergent-tail');
    const restarted = { ...NODE, replid: OTHER, runId: 'r2' };
    expect(causeOfResync(asked, given, restarted, past)).toMatchObject({
      reason: 'divergent-tail',
      detail: expect.stringContaining('950') as unknown,
    });
  });

  it('is an overrun backlog when a promoted node shares our history so far', () => {
    const cause = causeOfResync(at(300n), at(1_000n, OTHER), PROMOTED, past);
    expect(cause.reason).toBe('backlog-overrun');
  });

  it('is no divergent tail where a replica that was behind cannot tell', () => {
    const behind: NodeHistory = { ...PROMOTED, role: 'replica' };
    const given = at(1_000n, OTHER);
    expect(causeOfResync(at(850n), given, behind, past)).toMatchObject({
      reason: 'backlog-overrun',
      detail: expect.stringMatching(/from 801 on, and 850 was reached/) as unknown,
    });
    expect(causeOfResync(at(850n), given, PROMOTED, past).reason).toBe('divergent-tail');
  });

  it('is an overrun backlog when the same primary freed it, and the history with it', () => {
    const freed = { ...NODE, replid: OTHER };
    const given = at(1_000n, OTHER);
    expect(causeOfResync(at(950n), given, freed, past).reason).toBe('backlog-overrun');
    const again: NodeHistory = { ...freed, replid2: 'c'.repeat(40), secondOffset: 990n };
    expect(causeOfResync(at(950n), given, again, past).reason).toBe('divergent-tail');
    const replica: NodeHistory = { ...freed, role: 'replica' };
    expect(causeOfResync(at(950n), given, replica, past).reason).toBe('divergent-tail');
  });
});
