import type { BusDelivery, BusMessage, ConsumeOptions, TopicName } from '@tidemark/bus';
import type { Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CursorRows } from '../../../services/control/src/fleet/cursor-rows.ts';
import type { LinkedParts } from '../../../services/control/src/fleet/fleet-parts.ts';
import { HostExchange } from '../../../services/control/src/fleet/host-exchange.ts';
import { LateOrders } from '../../../services/control/src/fleet/late-orders.ts';
import { WorkerExchange } from '../../../services/control/src/fleet/worker-exchange.ts';
import { eventually } from '../../support/eventually.ts';
import { ALICE, openDesk, QUIET, type DeskRun } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { TempDir } from '../../support/temp-dir.ts';

const HOURS_2 = 2 * 3_600_000;
const ORDER = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;

/** What passes for all hosts alike, in milliseconds. */
let passedMs: number;
/** Notes that were sent, by their topic. */
let sent: { readonly topic: TopicName; readonly delivery: BusDelivery }[];
let readers: ConsumeOptions[];
let dirs: TempDir[];
let over: AbortController;
let running: Promise<void>[];
beforeEach(() => {
  passedMs = 1_000;
  [sent, readers, dirs, running] = [[], [], [], []];
  over = new AbortController();
});
afterEach(async () => {
  over.abort(new Error('the test is over'));
  await Promise.all(running);
  for (const dir of dirs) await dir[Symbol.asyncDispose]();
});

/** A wall clock that is set, and a monotonic one that every host has alike; waiting takes no time. */
class HostClock implements Clock {
  aheadMs: number;
  /** Pauses, by their length. */
  readonly pauses = new Map<number, number>();

  constructor(aheadMs: number) {
    this.aheadMs = aheadMs;
  }
  nowMs(): number {
    return 1_800_000_000_000 + passedMs + this.aheadMs;
  }
  monotonicMs(): number {
    return passedMs;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.pauses.set(ms, (this.pauses.get(ms) ?? 0) + 1);
    await systemClock.sleep(1, signal);
  }
}

interface Host {
  readonly run: DeskRun;
  readonly parts: LinkedParts;
  readonly clock: HostClock;
}

async function openHost(name: string, aheadMs: number): Promise<Host> {
  const dir = await TempDir.create();
  dirs.push(dir);
  const clock = new HostClock(aheadMs);
  const run = openDesk(dir.path, clock);
  const bus = {
    consume: async (options: ConsumeOptions) => {
      readers.push(options);
      await ended(options.signal);
    },
    publish: async (topic: TopicName, messages: readonly BusMessage[]) => {
      for (const message of messages) await deliver(topic, message);
    },
  };
  const parts = {
    ...{ jobs: run.desk, rows: run.rows, state: run.state, bus, host: name, clock },
    workspace: { keys: { logKey: () => Promise.resolve(LOG_KEY) } },
    ...{
      random: systemRandom,
      logger: QUIET,
      captures: { left: () => null, noteUntaken: () => undefined },
    },
  } as unknown as LinkedParts;
  return { run, parts, clock };
}

async function deliver(topic: TopicName, { key, value }: BusMessage): Promise<void> {
  const more = { topic, partition: 0, offset: 0n, headers: {} };
  const delivery = { key, value: Buffer.from(value), ...more };
  sent.push({ topic, delivery });
  for (const { topics, onMessage, signal } of readers) {
    if (topics.includes(topic) && !signal.aborted) await onMessage(delivery);
  }
}

const orders = (): number => sent.filter(({ topic }) => topic === 'jobs').length;

/** Time passes, and the host that asks has looked since. */
async function pass(ms: number, { clock }: Host): Promise<void> {
  passedMs += ms;
  const looks = (): number => clock.pauses.get(500) ?? 0;
  const before = looks();
  await eventually('it has looked', () => looks() >= before + 2);
}

/** A host that asks, and one that works: each with its clock. */
async function openTwo(aheadMs: number) {
  const asks = await openHost('asks', 0);
  const works = await openHost('works', aheadMs);
  const alive = new AbortController();
  running.push(new WorkerExchange(works.parts).run(AbortSignal.any([over.signal, alive.signal])));
  running.push(new HostExchange(asks.parts).run(true, over.signal));
  const { id } = await asks.run.desk.submit(ORDER);
  await eventually('it is ordered', () => {
    // One that seems to be old is taken when it comes again.
    if (orders() > 0 && aheadMs > 0) passedMs += 1_000;
    return works.run.rows.fold(id) !== null;
  });
  return { asks, works, id, die: () => alive.abort(new Error('it is killed')) };
}

/** The host that works begins the job, and tells. */
async function begin({ run, clock }: Host, id: string, asks: Host): Promise<void> {
  const nowMs = clock.nowMs();
  run.desk.command(id, { type: 'claim', worker: 'works.1', nowMs, untilMs: nowMs + 15_000 });
  run.desk.command(id, { type: 'grant', worker: 'works.1', attempt: 1 });
  await eventually('it is told', () => asks.run.desk.get(id).worker === 'works.1');
}

describe.each([
  ['two hours ahead', HOURS_2],
  ['two hours behind', -HOURS_2],
])('a host whose clock is %s', (_, aheadMs) => {
  it('keeps its job as long as it is heard of, and a minute longer', async () => {
    const { asks, works, id, die } = await openTwo(aheadMs);
    await begin(works, id, asks);
    const before = orders();
    for (let i = 0; i < 12; i++) {
      await pass(14_000, asks);
      await eventually('it is heard of', () => {
        const { claim } = asks.run.rows.fold(id) ?? {};
        return claim?.untilMs === asks.clock.nowMs() + 60_000;
      });
    }
    expect(orders()).toBe(before);
    die();
    await Promise.all(running.slice(0, 1));
    for (let i = 0; i < 4; i++) await pass(14_000, asks);
    expect(orders()).toBe(before);
    await pass(14_000, asks);
    await eventually('it is ordered again', () => orders() > before);
  });

  it('tells times that are those of the host that asked', async () => {
    const { asks, works, id } = await openTwo(aheadMs);
    await begin(works, id, asks);
    const { createdMs } = asks.run.desk.get(id);
    passedMs += 5_000;
    const outcome = { state: 'succeeded', result: null } as const;
    const nowMs = works.clock.nowMs();
    works.run.desk.command(id, { type: 'succeed', worker: 'works.1', nowMs, outcome });
    await eventually('it is told', () => asks.run.desk.get(id).state === 'succeeded');
    const { startedMs, endedMs } = asks.run.desk.get(id);
    for (const ms of [startedMs, endedMs]) {
      expect(ms).toBeGreaterThanOrEqual(createdMs);
      expect(ms).toBeLessThanOrEqual(asks.clock.nowMs());
    }
  });
});

describe('a claim of another host', () => {
  it('that is there when a process starts has a whole minute from then', async () => {
    const asks = await openHost('asks', 0);
    const { id } = await asks.run.desk.submit(ORDER);
    const job = {
      ...asks.run.desk.get(id),
      state: 'running',
      attempt: 1,
      worker: 'gone.1',
    } as const;
    asks.run.desk.applyRemote({ seq: 0, atMs: 0, job }, 'asks');
    passedMs += HOURS_2;
    running.push(new HostExchange(asks.parts).run(true, over.signal));
    for (let i = 0; i < 5; i++) await pass(i === 0 ? 0 : 14_000, asks);
    expect(orders()).toBe(0);
    await pass(14_000, asks);
    await eventually('it is ordered', () => orders() > 0);
  });
});

describe('a host that sets its clock back by two hours', () => {
  it('calls off what it ordered before, and what it resumes then is done', async () => {
    const { asks, works, id } = await openTwo(0);
    const first = sent.find(({ topic }) => topic === 'jobs');
    asks.clock.aheadMs -= HOURS_2;
    await asks.run.desk.cancel(id, ALICE);
    const there = (): string => works.run.desk.get(id).state;
    await eventually('it is cancelled there', () => there() === 'cancelled');
    // The same order comes twice.
    await deliver('jobs', first?.delivery as unknown as BusMessage);
    expect(there()).toBe('cancelled');
    asks.clock.aheadMs -= 60_000;
    await asks.run.desk.resume(id, ALICE);
    await eventually('it is ordered anew', () => {
      // It seems to be old there: it is taken when it comes again.
      passedMs += 1_000;
      return there() === 'queued';
    });
    // The cancel from before comes twice, too.
    const cancel = sent.find(({ topic }) => topic === 'job-control');
    await deliver('job-control', cancel?.delivery as unknown as BusMessage);
    expect(there()).toBe('queued');
    await asks.run.desk.cancel(id, ALICE);
    await eventually('it is cancelled again', () => there() === 'cancelled');
  });

  it('orders what waits as often as before', async () => {
    const { asks } = await openTwo(0);
    const before = orders();
    asks.clock.aheadMs -= HOURS_2;
    for (let i = 0; i < 3; i++) await pass(14_000, asks);
    await eventually('it is ordered again', () => orders() > before);
  });
});

describe('an order that seems to be hours old', () => {
  it('is taken once its host is seen to repeat it, be the clock of that behind or this one ahead', async () => {
    const { works, id } = await openTwo(HOURS_2);
    expect(works.run.desk.get(id).state).toBe('queued');
    expect(orders()).toBeGreaterThan(1);
  });

  it('is not taken where it and others lay in Kafka for long', () => {
    const late = new LateOrders(new HostClock(0));
    const fromMs = new HostClock(0).nowMs() - 10 * 3_600_000;
    // Sent every half a minute for an hour; read in a moment.
    for (let i = 0; i < 120; i++) {
      passedMs += 3;
      expect(late.isWanted('job-1', fromMs + i * 30_000)).toBe(false);
    }
    // The next one comes from somebody who was away for hours, and the one after that half a minute later.
    passedMs += 30_000;
    const againMs = fromMs + 8 * 3_600_000;
    expect(late.isWanted('job-1', againMs)).toBe(false);
    passedMs += 30_000;
    expect(late.isWanted('job-1', againMs + 30_000)).toBe(true);
    expect(late.isWanted('job-2', fromMs + 10 * 3_600_000)).toBe(true);
  });
});

describe('a process that publishes the events of a host', () => {
  it('that died holds no other one up when the clock was ahead then', async () => {
    const { run, clock } = await openHost('asks', HOURS_2);
    const rows = new CursorRows(run.state);
    const hold = (holder: string): boolean =>
      rows.hold(holder, clock.nowMs(), clock.nowMs() + 15_000);
    expect([hold('dies'), hold('other')]).toEqual([true, false]);
    clock.aheadMs = 0;
    expect([hold('other'), hold('third')]).toEqual([true, false]);
    passedMs += 15_000;
    expect(hold('third')).toBe(true);
  });
});

async function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
