import {
  type LogEntry,
  type SegmentStored,
  type WriterEvent,
  type WriterLog,
  type WriterState,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { opened, START_MS, stored } from '../support/log-events.ts';
import { openTestLog, readTestLog } from '../support/log-harness.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { Simulation, type SimProcess } from '../support/simulation.ts';

interface Acknowledged {
  readonly process: SimProcess;
  readonly generation: number;
  readonly seq: number;
  readonly event: WriterEvent;
}

/** What every process did, for the judgement at the end. */
interface World {
  readonly sim: Simulation;
  readonly store: MemoryStore;
  readonly acknowledged: Acknowledged[];
  /** Every event that any process ever wanted to write, by its time, which is its own. */
  readonly attempted: Map<number, WriterEvent>;
  /** Codes that ended a process. */
  readonly endings: string[];
  serial: number;
}

const RETRIES = 4;

/** An event that may follow, recognisable by its time. */
function nextEvent(world: World, state: WriterState): WriterEvent {
  world.serial += 1;
  const atMs = START_MS * 2 + world.serial;
  const { timeline } = state;
  if (timeline === null) return opened({ atMs });
  const bytes = BigInt(1 + Math.floor(world.sim.random() * 50));
  return stored(timeline.end, timeline.end + bytes, { atMs });
}

async function appendUntilKnown(world: World, process: SimProcess, log: WriterLog): Promise<void> {
  const event = nextEvent(world, log.state);
  world.attempted.set('atMs' in event ? event.atMs : 0, event);
  for (let attempt = 1; ; attempt++) {
    try {
      const seq = await log.append(event);
      world.acknowledged.push({ process, generation: log.generation ?? 0, seq, event });
      return;
    } catch (error) {
      const passing = error instanceof TidemarkError && error.retryable;
      if (!passing || attempt === RETRIES) throw error;
    }
  }
}

/** A process: opens, claims, appends; ends when it loses the log or the store fails for long. */
async function runOwner(world: World, process: SimProcess, appends: number): Promise<void> {
  const { sim, store } = world;
  try {
    const log = await openTestLog(store.through(sim.hookOf(process)), {
      clock: sim.clockOf(process),
      retry: { attempts: 2 },
      seed: `${process.name} ${world.serial}`,
    });
    await log.claim({ ownerId: process.name, takeOver: sim.random() < 0.7, heartbeatMs: 20 });
    for (let i = 0; i < appends; i++) await appendUntilKnown(world, process, log);
    world.endings.push('done');
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    world.endings.push(error.code);
  }
}

function judge(world: World, entries: readonly LogEntry[]): void {
  const bySeq = new Map(entries.map((entry) => [entry.seq, entry]));
  // Nothing that was acknowledged is lost or changed, and it stands there for its own generation.
  for (const { seq, event, generation } of world.acknowledged) {
    expect(bySeq.get(seq)?.event).toEqual(event);
    expect(bySeq.get(seq)?.generation).toBe(generation);
  }
  const places = world.acknowledged.map(({ seq }) => seq);
  expect(new Set(places).size).toBe(places.length);
  // Nothing stands there twice, and nothing that nobody wrote.
  const written = entries.filter(({ event }) => event.type !== 'OwnerClaimed');
  const times = written.map(({ event }) => ('atMs' in event ? event.atMs : 0));
  expect(new Set(times).size).toBe(times.length);
  for (const { event } of written) {
    expect(world.attempted.get('atMs' in event ? event.atMs : 0)).toEqual(event);
  }
  // One timeline, contiguous, and behind a claim no earlier generation.
  const segments = written.map(({ event }) => event).filter(isSegment);
  segments.forEach((event, index) => {
    expect(event.segment.start).toBe(segments[index - 1]?.segment.end ?? 0n);
  });
  let generation = 0;
  for (const entry of entries) {
    if (entry.event.type === 'OwnerClaimed') {
      expect(entry.event.generation).toBeGreaterThan(generation);
      ({ generation } = entry.event);
    }
    expect(entry.generation).toBe(generation);
  }
  const known = ['done', 'TM_LOG_OWNER', 'TM_STORE_IO'];
  expect(world.endings.filter((code) => !known.includes(code))).toEqual([]);
}

const isSegment = (event: WriterEvent): event is SegmentStored => event.type === 'SegmentStored';

interface Run {
  readonly seed: number;
  readonly owners: number;
  readonly killRate: number;
  readonly faultRate: number;
}

async function simulate({ seed, owners, killRate, faultRate }: Run): Promise<World> {
  const rates = { before: faultRate, after: faultRate, later: faultRate };
  const sim = new Simulation(seed, rates, START_MS);
  const store = new MemoryStore();
  const world: World = {
    sim,
    store,
    acknowledged: [],
    attempted: new Map(),
    endings: [],
    serial: 0,
  };
  const running = new Map<string, SimProcess>();
  const start = (name: string): void => {
    const process: SimProcess = { name, killed: false };
    running.set(name, process);
    void runOwner(world, process, 6).finally(() => {
      if (running.get(name) === process) running.delete(name);
    });
  };
  for (let round = 0; round < 400; round++) {
    for (let i = 0; i < owners; i++) {
      if (!running.has(`spool-${i}`) && sim.random() < 0.05) start(`spool-${i}`);
    }
    const [victim] = [...running.values()].filter(() => sim.random() < killRate);
    if (victim !== undefined) {
      sim.kill(victim);
      running.delete(victim.name);
    }
    await sim.step();
  }
  sim.healed = true;
  while (await sim.step());
  return world;
}

const runs = fc.record({
  seed: fc.integer({ min: 1, max: 0x7fffffff }),
  owners: fc.integer({ min: 2, max: 3 }),
  killRate: fc.constantFrom(0, 0.01, 0.05),
  faultRate: fc.constantFrom(0, 0.03, 0.1),
});

describe('owners that race for one writer log', () => {
  it('never both win: no entry lost, doubled or written behind a later claim', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        const world = await simulate(run);
        judge(world, await readTestLog(world.store));
      }),
      { numRuns: 60 },
    );
  });

  it('once the faults are over the next owner goes on where the log ends', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        const world = await simulate(run);
        const before = await readTestLog(world.store);
        const log = await openTestLog(world.store);
        await log.claim({ ownerId: 'spool-last', takeOver: true });
        await log.append(nextEvent(world, log.state));
        expect(await readTestLog(world.store)).toHaveLength(before.length + 2);
      }),
      { numRuns: 15 },
    );
  });

  it('the loser stops with its first append after the other claim', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 12 }), async (appends) => {
        const store = new MemoryStore();
        const first = await openTestLog(store);
        await first.claim({ ownerId: 'spool-a', takeOver: false });
        const world = { sim: new Simulation(1, { before: 0, after: 0, later: 0 }, 0), serial: 0 };
        for (let i = 0; i < appends; i++)
          await first.append(nextEvent(world as World, first.state));
        const second = await openTestLog(store);
        await second.claim({ ownerId: 'spool-b', takeOver: true });
        const count = store.objects.size;
        await expect(first.append(nextEvent(world as World, first.state))).rejects.toMatchObject({
          code: 'TM_LOG_OWNER',
        });
        expect(store.objects.size).toBe(count);
      }),
      { numRuns: 13 },
    );
  });

  it('the same seed gives the same history', async () => {
    const run = { seed: 15, owners: 3, killRate: 0.02, faultRate: 0.08 };
    const [one, two] = [await simulate(run), await simulate(run)];
    expect([...one.store.objects].map(([key, bytes]) => [key, bytes.toString('hex')])).toEqual(
      [...two.store.objects].map(([key, bytes]) => [key, bytes.toString('hex')]),
    );
    expect(one.acknowledged.length).toBeGreaterThan(5);
    expect(one.endings).toContain('TM_LOG_OWNER');
  });
});
