import {
  readJobNote,
  sealJobNote,
  type BusDelivery,
  type JobNoteKind,
  type SealedJobNote,
  type TopicName,
} from '@tidemark/bus';
import { BusError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import type { LinkedParts } from '../../../services/control/src/fleet/fleet-parts.ts';
import { HostExchange } from '../../../services/control/src/fleet/host-exchange.ts';
import { WorkerExchange } from '../../../services/control/src/fleet/worker-exchange.ts';
import { ALICE, openDesk, QUIET, SetClock } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { TempDir } from '../../support/temp-dir.ts';

it('a cancel from before an order does not end it, and one from after it does', async () => {
  await using dir = await TempDir.create();
  const clock = new SetClock();
  using asking = openDesk(dir.path, clock);
  const order = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;
  const job = await asking.desk.submit(order);
  await using elsewhere = await TempDir.create();
  using there = openDesk(elsewhere.path, clock);
  const handlers = new Map<TopicName, (message: BusDelivery) => Promise<void> | void>();
  const over = new AbortController();
  const bus = {
    consume: (of: {
      readonly group: string;
      readonly topics: readonly TopicName[];
      readonly onMessage: (message: BusDelivery) => Promise<void> | void;
    }) => {
      if (of.group.startsWith('capture-')) return Promise.resolve(); // no backup is asked for
      for (const topic of of.topics) handlers.set(topic, of.onMessage);
      return Promise.resolve();
    },
    publish: () => Promise.resolve(),
  };
  const parts = {
    ...{ jobs: there.desk, rows: there.rows, state: there.state, bus, host: 'there' },
    workspace: { keys: { logKey: () => Promise.resolve(LOG_KEY) } },
    ...{
      clock: { nowMs: () => clock.ms, monotonicMs: () => clock.ms, sleep: waitFor },
      random: systemRandom,
    },
    logger: QUIET,
  } as unknown as LinkedParts;
  const first = new AbortController();
  const before = new WorkerExchange(parts).run(first.signal);
  const say = async (kind: JobNoteKind, topic: TopicName, atMs: number): Promise<void> => {
    const body = kind === 'order' ? job : { actor: ALICE };
    const note = { kind, job: job.id, instance: 'inst', host: 'here', atMs, body };
    const { key, value } = sealJobNote(note, LOG_KEY, systemRandom);
    const more = { topic, partition: 0, offset: '0', headers: {} };
    await handlers.get(topic)?.({ key, value, ...more } as unknown as BusDelivery);
  };
  const stateOf = (): string => there.desk.get(job.id).state;
  await say('order', 'jobs', clock.ms);
  await say('cancel', 'job-control', clock.ms - 5_000);
  expect(stateOf()).toBe('queued');
  // A process that was started again knows the same.
  first.abort(new Error('it is started again'));
  await before;
  const running = new WorkerExchange(parts).run(over.signal);
  await say('cancel', 'job-control', clock.ms - 4_000);
  expect(stateOf()).toBe('queued');
  await say('cancel', 'job-control', clock.ms + 1);
  expect(stateOf()).toBe('cancelled');
  over.abort(new Error('the test is over'));
  await running;
});

it('a note says when it was wished for, and a cancel is dropped with the resume that comes before it', async () => {
  await using dir = await TempDir.create();
  const clock = new SetClock();
  using asking = openDesk(dir.path, clock);
  const order = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;
  const over = new AbortController();
  let isUp = true;
  const sent: SealedJobNote[] = [];
  const bus = {
    consume: () => waitFor(0, over.signal),
    publish: (_topic: TopicName, messages: readonly Pick<BusDelivery, 'value'>[]) => {
      if (!isUp) return Promise.reject(new BusError('TM_BUS_DOWN', 'the brokers are away'));
      sent.push(...messages.map((message) => readJobNote(message)));
      return Promise.resolve();
    },
  };
  const parts = {
    ...{ jobs: asking.desk, rows: asking.rows, state: asking.state, bus, host: 'here' },
    workspace: { keys: { logKey: () => Promise.resolve(LOG_KEY) } },
    clock: {
      ...{ nowMs: () => clock.ms, monotonicMs: () => clock.ms },
      sleep: (_ms: number, signal: AbortSignal) => systemClock.sleep(2, signal),
    },
    ...{
      random: systemRandom,
      logger: QUIET,
      captures: { left: () => null, noteUntaken: () => undefined },
    },
  } as unknown as LinkedParts;
  const running = new HostExchange(parts).run(true, over.signal);
  const timesOf = (kind: JobNoteKind, id: string): readonly number[] =>
    sent.flatMap(({ kind: of, job, atMs }) => (of === kind && job === id ? [atMs] : []));
  const untilSent = async (kind: JobNoteKind, id: string, count: number): Promise<void> => {
    await expect.poll(() => timesOf(kind, id).length, { timeout: 15_000 }).toBe(count);
  };
  const [resumed, gone] = [await asking.desk.submit(order), await asking.desk.submit(order)];
  for (const { id } of [resumed, gone]) await untilSent('order', id, 1);
  isUp = false;
  const cancelledMs = (clock.ms += 1_000);
  for (const { id } of [resumed, gone]) await asking.desk.cancel(id, ALICE);
  clock.ms += 1_000;
  await asking.desk.resume(resumed.id, ALICE);
  clock.ms += 60_000;
  isUp = true;
  // Notes of one kind go out together, in the order that they came in.
  await untilSent('cancel', gone.id, 1);
  await untilSent('order', resumed.id, 2);
  expect(timesOf('cancel', gone.id)).toEqual([cancelledMs]);
  expect(timesOf('cancel', resumed.id)).toEqual([]);
  expect(timesOf('order', resumed.id)[1]).toBeGreaterThan(cancelledMs);
  over.abort(new Error('the test is over'));
  await running;
});

/** Until the signal: nothing of this test waits for a time. */
function waitFor(_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}
