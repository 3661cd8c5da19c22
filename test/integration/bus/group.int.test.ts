import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { ChildProcess } from 'node:child_process';
import type { Bus, Membership, RevokeReason } from '@tidemark/bus';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTestBus } from '../../support/bus/open-test-bus.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithKafka, KafkaBroker } from '../../support/kafka.ts';
import { spawnTypeScript } from '../../support/ts-child.ts';

const INSTANCES = ['a', 'b', 'c', 'd', 'e', 'f'];
/** Members that are to be missed soon; the others may be late on a slow machine. */
const SHORT_MS = 4_000;
const LONG_MS = 30_000;
const BEAT_MS = 300;

interface Told {
  readonly what: 'assigned' | RevokeReason;
  readonly instances: readonly string[];
}

/** A member that keeps what it was told. */
class TestMember implements AsyncDisposable {
  readonly told: Told[] = [];
  readonly membership: Membership;
  readonly #over = new AbortController();

  constructor(bus: Bus, instances: readonly string[] = INSTANCES, sessionMs = LONG_MS) {
    this.membership = bus.joinGroup({
      group: 'archivers',
      topic: 'writers',
      instances,
      sessionMs,
      heartbeatMs: BEAT_MS,
      onAssigned: (names) => void this.told.push({ what: 'assigned', instances: names }),
      onRevoked: (names, what) => void this.told.push({ what, instances: names }),
      signal: this.#over.signal,
    });
  }

  get held(): readonly string[] {
    return this.membership.state().held;
  }

  async leave(): Promise<void> {
    this.#over.abort();
    await this.membership.over;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }
}

/** A member in a process of its own. */
class ChildMember implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly lines: string[] = [];
  held = new Set<string>();

  constructor(broker: string) {
    const script = new URL('../../support/bus/member-child.ts', import.meta.url);
    this.#process = spawnTypeScript(script, [broker, String(SHORT_MS), INSTANCES.join(',')]);
    if (this.#process.stdout === null) throw new Error('no output');
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#take(line));
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL' | 'SIGTERM'): void {
    this.#process.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const over = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await over;
  }

  #take(line: string): void {
    this.lines.push(line);
    const [what = '', names = ''] = line.split(' ');
    for (const name of names.split(',').filter((each) => each !== '')) {
      if (what === 'assigned') this.held.add(name);
      else this.held.delete(name);
    }
  }
}

describeWithKafka('a group that shares instances out', () => {
  let broker: KafkaBroker;
  let opened: Awaited<ReturnType<typeof openTestBus>>;
  beforeAll(async () => {
    broker = await KafkaBroker.start();
    opened = await openTestBus(broker.address);
    await opened.bus.ensureTopics();
  });
  afterAll(async () => {
    await opened[Symbol.asyncDispose]();
    await broker[Symbol.asyncDispose]();
  });

  it('gives each instance to one member, moves few, and waits until one has let go', async () => {
    await using first = new TestMember(opened.bus);
    await eventually('all of them', () => first.held.length === 6);
    await using second = new TestMember(opened.bus);
    await eventually('halves', () => first.held.length === 3 && second.held.length === 3);
    expect([...first.held, ...second.held].sort()).toEqual(INSTANCES);
    expect(first.told).toEqual([
      { what: 'assigned', instances: INSTANCES },
      { what: 'moved', instances: [...second.held] },
    ]);
    expect(second.told).toEqual([{ what: 'assigned', instances: [...second.held] }]);
    const before = [...first.held];
    await second.leave();
    expect(second.told.at(-1)?.what).toBe('left');
    await eventually('all of them again', () => first.held.length === 6);
    expect(first.told.at(-1)).toEqual({
      what: 'assigned',
      instances: INSTANCES.filter((each) => !before.includes(each)),
    });
    await first.leave();
    expect(first.told.at(-1)).toEqual({ what: 'left', instances: INSTANCES });
  });

  it('gives on what a killed member had, and tells a frozen one that it has lost', async () => {
    await using child = new ChildMember(broker.address);
    await eventually('all of them', () => child.held.size === 6);
    await using here = new TestMember(opened.bus, INSTANCES, SHORT_MS);
    await eventually('halves', () => child.held.size === 3 && here.held.length === 3);
    child.signal('SIGSTOP');
    await eventually('those of the frozen one', () => here.held.length === 6);
    expect(child.held.size).toBe(3);
    child.signal('SIGCONT');
    await eventually('told', () => child.lines.some((line) => line.startsWith('revoked-lost')));
    await eventually('halves again', () => child.held.size === 3 && here.held.length === 3);
    child.signal('SIGKILL');
    await eventually('those of the killed one', () => here.held.length === 6);
  });

  it('keeps everything while the broker is away, and goes on with it afterwards', async () => {
    await using first = new TestMember(opened.bus);
    await using second = new TestMember(opened.bus);
    await eventually('halves', () => first.held.length === 3 && second.held.length === 3);
    const [told, toldSecond] = [first.told.length, second.told.length];
    const halves = [[...first.held], [...second.held]];
    await broker.stop();
    await eventually(
      'noticed',
      () => !first.membership.state().connected && !second.membership.state().connected,
    );
    expect([first.held, second.held]).toEqual(halves);
    await broker.restart();
    await eventually(
      'connected',
      () => first.membership.state().connected && second.membership.state().connected,
    );
    await eventually('halves', () => first.held.length === 3 && second.held.length === 3);
    expect([first.held, second.held]).toEqual(halves);
    expect([first.told.length, second.told.length]).toEqual([told, toldSecond]);
  });

  it('gives an instance only to a member that can take it', async () => {
    await using first = new TestMember(opened.bus, ['a', 'b', 'c', 'd']);
    await using second = new TestMember(opened.bus, ['f']);
    await eventually('those of each', () => first.held.length === 4 && second.held.length === 1);
    first.membership.change(['a', 'b', 'c', 'd', 'e']);
    await eventually('the new one', () => first.held.length === 5);
    expect(second.held).toEqual(['f']);
  });
});
