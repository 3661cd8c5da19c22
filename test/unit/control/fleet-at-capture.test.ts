import {
  openJobNote,
  readJobNote,
  sealJobNote,
  type BusDelivery,
  type BusMessage,
  type TopicName,
} from '@tidemark/bus';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import type { LinkedParts } from '../../../services/control/src/fleet/fleet-parts.ts';
import { HostExchange } from '../../../services/control/src/fleet/host-exchange.ts';
import { WorkerExchange } from '../../../services/control/src/fleet/worker-exchange.ts';
import { ALICE, idleHandler, openDesk, QUIET, SetClock } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { TempDir } from '../../support/temp-dir.ts';

const BACKUP = { kind: 'backup', instance: 'inst', request: {}, actor: ALICE } as const;

const noteUntaken = (): void => undefined;

type OnMessage = (message: BusDelivery) => Promise<void> | void;

function partsOf(desk: ReturnType<typeof openDesk>, clock: SetClock, more: object): LinkedParts {
  return {
    ...{ jobs: desk.desk, rows: desk.rows, state: desk.state },
    clock: {
      ...{ nowMs: () => clock.ms, monotonicMs: () => clock.ms },
      sleep: (_: number, signal: AbortSignal) => systemClock.sleep(2, signal),
    },
    ...{ random: systemRandom, logger: QUIET, captures: { left: () => null, noteUntaken } },
    ...more,
  } as unknown as LinkedParts;
}

it('a backup is for the host that captures its instance; what nobody took in three minutes is for anybody', async () => {
  await using dir = await TempDir.create();
  await using elsewhere = await TempDir.create();
  const clock = new SetClock();
  using asking = openDesk(dir.path, clock, { handlers: [idleHandler('backup')] });
  using there = openDesk(elsewhere.path, clock, { handlers: [idleHandler('backup')] });
  const over = new AbortController();
  const keys = { logKey: () => Promise.resolve(LOG_KEY) };
  const sent: BusMessage[] = [];
  const orders = partsOf(asking, clock, {
    ...{ host: 'here', workspace: { keys } },
    bus: {
      consume: () => systemClock.sleep(60_000, over.signal).catch(() => undefined),
      publish: (_: TopicName, messages: readonly BusMessage[]) => {
        sent.push(...messages);
        return Promise.resolve();
      },
    },
  });
  const readers = new Map<string, OnMessage>();
  let state: string | null = null;
  const takes = partsOf(there, clock, {
    host: 'there',
    workspace: {
      keys,
      askArchiver: () =>
        Promise.resolve({ captures: state === null ? [] : [{ instance: 'inst', state }] }),
    },
    bus: {
      consume: ({ group, topics, onMessage }: Reader) => {
        if (topics.includes('jobs')) readers.set(group, onMessage);
        return Promise.resolve();
      },
      publish: () => Promise.resolve(),
    },
  });
  const running = [
    new HostExchange(orders).run(true, over.signal),
    new WorkerExchange(takes).run(over.signal),
  ];
  const job = await asking.desk.submit(BACKUP);
  const isThere = (): boolean => there.desk.list({ pageSize: 10 }).jobs.length > 0;
  const give = async (group: string, message: BusMessage): Promise<boolean> => {
    const delivery = { ...message, topic: 'jobs', partition: 0, offset: '0', headers: {} };
    await readers.get(group)?.(delivery as unknown as BusDelivery);
    return isThere();
  };
  expect([...readers.keys()].sort()).toEqual(['capture-there', 'workers']);
  for (let times = 1; times <= 7; times += 1) {
    await expect.poll(() => sent.length, { timeout: 15_000 }).toBe(times);
    clock.ms += 30_000;
  }
  const isForAnyone = sent.map((message) => {
    const note = openJobNote(readJobNote(message as unknown as BusDelivery), LOG_KEY);
    return (note.body as { readonly anyone: boolean }).anyone;
  });
  expect(isForAnyone.slice(0, 7)).toEqual([...Array<boolean>(6).fill(false), true]);
  const [first, last] = [sent[0]!, sent[6]!];
  expect(await give('workers', first)).toBe(false);
  expect(await give('capture-there', first)).toBe(false);
  state = 'waiting';
  expect(await give('capture-there', first)).toBe(false);
  // One that cannot be opened is not parked by each of many readers.
  expect(await give('capture-there', { ...first, value: Buffer.from('{}') })).toBe(false);
  state = 'caught-up';
  expect(await give('capture-there', last)).toBe(false); // those who share them out take it
  expect(await give('capture-there', first)).toBe(true);
  await there.desk.cancel(job.id, ALICE);
  const other = sealJobNote(
    { ...readJobNote(last as unknown as BusDelivery), job: 'job-2', body: anyoneOf('job-2', job) },
    LOG_KEY,
    systemRandom,
  );
  await give('workers', other);
  expect(there.desk.get('job-2').kind).toBe('backup');
  over.abort(new Error('the test is over'));
  await Promise.all(running);
});

interface Reader {
  readonly group: string;
  readonly topics: readonly TopicName[];
  readonly onMessage: OnMessage;
}

function anyoneOf(id: string, job: object): object {
  return { ...job, id, wish: 1, anyone: true };
}
