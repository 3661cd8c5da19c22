import { describe, expect, it } from 'vitest';
import { FleetDesk, type HeldWork } from '../../../../services/archiver/src/fleet/fleet-desk.ts';
import { HostFitness } from '../../../../services/archiver/src/fleet/host-fitness.ts';
import type { Logger } from '../../../../services/archiver/src/logger.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const QUIET: Logger = {
  ...{ info: () => undefined, warn: () => undefined, error: () => undefined },
  child: () => QUIET,
};

/** A desk whose captures are names, and time that passes only when a test says so. */
class Bench {
  readonly clock = steppingClock(1_000_000);
  readonly held = new Map<string, HeldWork>();
  readonly released: string[] = [];
  readonly fitness = new HostFitness({ clock: this.clock, silenceMs: 10_000 });
  readonly desk = new FleetDesk({
    clock: this.clock,
    logger: QUIET,
    fitness: this.fitness,
    held: () => [...this.held.values()],
    begin: (instance) => this.set(instance),
    release: (instance) => {
      this.held.delete(instance);
      this.released.push(instance);
      return Promise.resolve();
    },
  });

  set(instance: string, work: Partial<HeldWork> = {}): void {
    this.held.set(instance, {
      instance,
      isOwner: true,
      silentMs: 0,
      isStuck: false,
      barredMs: null,
      ...work,
    });
  }

  /** Lets the desk look after its work for so long. */
  async pass(ms: number): Promise<void> {
    const over = new AbortController();
    const until = this.clock.now + ms;
    const running = this.desk.run(over.signal);
    while (this.clock.now < until) await new Promise(setImmediate);
    over.abort();
    await running;
  }

  get instances(): readonly string[] {
    return [...this.held.keys()].sort();
  }
}

describe('work that a fleet gives to a host', () => {
  it('is begun when it is assigned, and released at once when another host is to have it', async () => {
    const bench = new Bench();
    bench.desk.assigned(['a', 'b']);
    expect(bench.instances).toEqual(['a', 'b']);
    await bench.desk.revoked(['a']);
    expect(bench.released).toEqual(['a']);
    await bench.pass(60_000);
    expect(bench.instances).toEqual(['b']);
  });

  it('goes on while the group is away, and after it came back with the same work', async () => {
    const bench = new Bench();
    bench.desk.assigned(['a', 'b']);
    bench.desk.lost();
    await bench.pass(600_000);
    bench.desk.joined();
    await bench.pass(60_000);
    expect(bench.instances).toEqual(['a', 'b']);
    expect(bench.released).toEqual([]);
  });

  it('goes on when the group went on without the host, until it is a member without it', async () => {
    const bench = new Bench();
    bench.desk.assigned(['a', 'b']);
    bench.desk.lost(['a', 'b']);
    await bench.pass(600_000);
    expect(bench.released).toEqual([]);
    bench.desk.joined();
    bench.desk.assigned(['b']);
    await bench.pass(4_000);
    expect(bench.released).toEqual([]);
    await bench.pass(4_000);
    expect(bench.released).toEqual(['a']);
    expect(bench.instances).toEqual(['b']);
  });

  it('is kept, revoked or not, while the store does not take what there is', async () => {
    const bench = new Bench();
    bench.desk.assigned(['a']);
    bench.set('a', { isStuck: true });
    await bench.desk.revoked(['a']);
    await bench.pass(60_000);
    expect(bench.instances).toEqual(['a']);
    bench.set('a', { isStuck: false });
    await bench.pass(10_000);
    expect(bench.released).toEqual(['a']);
  });

  it('stays where it was adopted, and is not begun again after it was forgotten', async () => {
    const bench = new Bench();
    bench.desk.joined();
    bench.set('new');
    bench.desk.adopt('new');
    await bench.desk.revoked(['new']);
    await bench.pass(60_000);
    expect(bench.instances).toEqual(['new']);
    bench.desk.assigned(['new']);
    bench.desk.forget('new');
    bench.held.clear();
    await bench.pass(60_000);
    expect(bench.instances).toEqual([]);
  });
});

describe('the fitness of a host', () => {
  it('ends when no entry of any log that it owns reaches the store', () => {
    const bench = new Bench();
    bench.fitness.reached();
    expect(bench.desk.isFit).toBe(true);
    bench.set('waiting', { isOwner: false, silentMs: null });
    expect(bench.desk.isFit).toBe(true);
    bench.set('a', { silentMs: 60_000 });
    expect(bench.desk.isFit).toBe(false);
    bench.set('b', { silentMs: 3_000 });
    expect(bench.desk.isFit).toBe(true);
  });

  it('begins with an answer of the store, and needs another one when it captures nothing', () => {
    const bench = new Bench();
    expect(bench.desk.isFit).toBe(false);
    bench.fitness.reached();
    expect(bench.desk.isFit).toBe(true);
    bench.clock.now += 31_000;
    expect(bench.desk.isFit).toBe(false);
    // What is captured shows it, and for a while after.
    bench.set('a');
    expect(bench.desk.isFit).toBe(true);
    bench.held.clear();
    expect(bench.desk.isFit).toBe(true);
    bench.clock.now += 31_000;
    expect(bench.desk.isFit).toBe(false);
  });

  it('ends for a while, which grows, with each failure at the store or a key', () => {
    const bench = new Bench();
    const pauses: number[] = [];
    for (let each = 0; each < 3; each++) {
      bench.set('a', { isOwner: false, silentMs: null, barredMs: bench.clock.now });
      const sinceMs = bench.clock.now;
      bench.fitness.reached();
      while (!bench.desk.isFit) {
        bench.clock.now += 1_000;
        bench.fitness.reached();
        // Tries that go on beside it change nothing.
        bench.set('a', { isOwner: false, silentMs: null, barredMs: bench.clock.now - 500 });
        if (bench.clock.now - sinceMs >= [60_000, 120_000, 240_000][each]!) bench.held.clear();
      }
      pauses.push(bench.clock.now - sinceMs);
    }
    expect(pauses).toEqual([60_000, 120_000, 240_000]);
    // One that captures something well is fit, whatever else fails.
    bench.set('a', { isOwner: false, silentMs: null, barredMs: bench.clock.now });
    bench.set('b');
    expect(bench.desk.isFit).toBe(true);
  });

  it('is said to be its own only while its log takes entries, and not while it is let go', async () => {
    const bench = new Bench();
    bench.set('a');
    bench.set('b', { silentMs: 10_000 });
    bench.set('c', { isOwner: false, silentMs: null });
    expect(bench.desk.proven).toEqual(['a']);
    const released = bench.desk.revoked(['a']);
    expect(bench.desk.proven).toEqual([]);
    await released;
  });
});
