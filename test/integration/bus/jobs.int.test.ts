import type { BusDelivery } from '@tidemark/bus';
import { listParked } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { JobContext, JobHandler, JobOrder } from '../../../services/control/src/jobs/job.ts';
import { JobHost, SHARED_INSTANCE, SharedArchive } from '../../support/bus/job-host.ts';
import { openTestBus } from '../../support/bus/open-test-bus.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithKafka, KafkaBroker } from '../../support/kafka.ts';

const CANARY = 'cart:canary-of-a-request';
const never = new AbortController().signal;

/** A job that runs until it is let go or cancelled. */
class Trial {
  readonly began: string[] = [];
  readonly cleaned: string[] = [];
  isOpen = false;

  handler(host: string): JobHandler {
    return {
      kind: 'verify',
      check: ({ request }) => request,
      exclusive: () => null,
      run: async (context: JobContext) => {
        this.began.push(`${host} ${context.job.id}`);
        context.progress({ phase: 'waiting', percent: 50 });
        await eventually('let go', () => this.isOpen || context.signal.aborted);
        context.signal.throwIfAborted();
        if (JSON.stringify(context.job.request).includes('"fails"')) {
          throw new UsageError('TM_USAGE', 'this one fails');
        }
        return { state: 'succeeded', result: { by: host } };
      },
      cleanUp: ({ job }) => {
        this.cleaned.push(`${host} ${job.id}`);
        return Promise.resolve();
      },
    };
  }
}

function order(keys: string): JobOrder {
  const actor = { name: 'ops', via: 'token' } as const;
  return { kind: 'verify', instance: SHARED_INSTANCE, request: { keys }, actor };
}

describeWithKafka('jobs of a host that workers of others do', () => {
  let broker: KafkaBroker;
  let archive: SharedArchive;
  beforeAll(async () => {
    broker = await KafkaBroker.start();
    await using opened = await openTestBus(broker.address);
    await opened.bus.ensureTopics();
    archive = await SharedArchive.create(broker.address);
  });
  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
    await archive[Symbol.asyncDispose]();
  });

  it('are each done once, tell how far they are, and end or are cancelled where they were asked for', async () => {
    const trial = new Trial();
    const open = (name: string, workers: boolean): Promise<JobHost> =>
      JobHost.open(archive, name, { handler: trial.handler(name), workers });
    await using api = await open('api', false);
    await using _first = await open('first', true);
    await using _second = await open('second', true);
    const started = performance.now();
    const job = await api.jobs.submit(order(CANARY));
    await eventually('running', () => api.jobs.get(job.id).state === 'running');
    await eventually('told', () => api.jobs.get(job.id).progress.phase === 'waiting');
    expect(trial.began).toHaveLength(1);
    console.log(`order to its first word: ${Math.round(performance.now() - started)} ms`);

    const called = await api.jobs.submit(order('cancelled'));
    await eventually('both run', () => trial.began.length === 2);
    await eventually('told', () => api.jobs.get(called.id).state === 'running');
    await api.jobs.cancel(called.id, { name: 'ops', via: 'token' });
    await eventually('cancelled', () => api.jobs.get(called.id).state === 'cancelled');
    expect(trial.cleaned.map((each) => each.split(' ')[1])).toContain(called.id);

    const fails = await api.jobs.submit(order('fails'));
    await eventually('all run', () => trial.began.length >= 3);
    trial.isOpen = true;
    await eventually('ended', () => api.jobs.get(job.id).state === 'succeeded');
    expect(JSON.stringify(api.jobs.get(job.id).result)).toMatch(/first|second/);
    await eventually('failed', () => api.jobs.get(fails.id).state === 'failed');
    expect(api.jobs.get(fails.id).problem?.code).toBe('TM_USAGE');
    const done = trial.began.filter((each) => each.endsWith(job.id));
    expect(done).toHaveLength(1);
    // What keys a job is about stands in no topic.
    await using opened = await openTestBus(broker.address);
    const all: BusDelivery[] = [];
    const onMessage = (message: BusDelivery): void => void all.push(message);
    await opened.bus.read({
      topics: ['jobs', 'job-events', 'job-control', 'parked', 'events'],
      onMessage,
      signal: never,
    });
    expect(all.filter(({ topic }) => topic === 'job-events').length).toBeGreaterThan(3);
    expect(all.some(({ value, key }) => `${key} ${value}`.includes('canary'))).toBe(false);
    expect(all.filter(({ topic }) => topic === 'parked')).toEqual([]);
  });

  it('wait while the broker is away, and one that nobody could have sent is parked', async () => {
    const trial = new Trial();
    trial.isOpen = true;
    const open = (name: string, workers: boolean): Promise<JobHost> =>
      JobHost.open(archive, name, { handler: trial.handler(name), workers });
    await using api = await open('api', false);
    await using worker = await open('first', true);
    const before = await api.jobs.submit(order('before'));
    await eventually('done', () => api.jobs.get(before.id).state === 'succeeded');
    await broker.kill();
    const job = await api.jobs.submit(order('while it is away'));
    expect(api.jobs.get(job.id).state).toBe('queued');
    await broker.restart();
    await eventually('done', () => api.jobs.get(job.id).state === 'succeeded');
    await using opened = await openTestBus(broker.address);
    await eventually('sent', () =>
      opened.bus
        .publish('jobs', [
          { key: 'x', value: Buffer.from('not a note') },
          { key: 'x', value: Buffer.from(forgedOrder()) },
        ])
        .then(
          () => true,
          () => false,
        ),
    );
    const { config } = api.workspace;
    const parked = (): ReturnType<typeof listParked> =>
      listParked(config, { clock: systemClock, logger: api.logger, signal: never });
    await eventually('parked', async () => (await parked()).length >= 2);
    const told = (await parked()).map(({ topic, group, code }) => `${topic} ${group} ${code}`);
    expect(told.sort()).toEqual(['jobs workers TM_BUS_MESSAGE', 'jobs workers TM_KEY_MISSING']);
    const after = await api.jobs.submit(order('after'));
    await eventually('done', () => api.jobs.get(after.id).state === 'succeeded');
    expect(worker.logger.lines.some((line) => line.includes('a message was parked'))).toBe(true);
  });
});

/** Well formed, and sealed with a key that is none of ours. */
function forgedOrder(): string {
  const sealed = Buffer.concat([Buffer.from([1]), Buffer.alloc(16, 9), Buffer.alloc(80, 1)]);
  return JSON.stringify({
    v: 1,
    kind: 'order',
    job: 'job-0001',
    instance: SHARED_INSTANCE,
    host: 'somebody',
    atMs: 1,
    sealed: sealed.toString('base64'),
  });
}
