import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createInstance,
  openCatalog,
  openInstanceLog,
  type InstanceEvent,
} from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import { expect, it } from 'vitest';
import { RecycleBin } from '../../../services/control/src/recycle/recycle-bin.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { ALICE } from '../../support/job-desk.ts';
import { LOG_KEY, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const DAY_MS = 86_400_000;
const IID = 'orders';
const { signal } = new AbortController();

/** A bin over a store in memory, and what another host says right after it has read all logs, once. */
class Bench implements AsyncDisposable {
  readonly #dir: TempDir;
  readonly #catalog = openCatalog({ path: ':memory:' });
  readonly warnings: string[] = [];
  passedMs = 0;
  storeAheadMs = 0;
  meanwhile: readonly InstanceEvent[] = [];
  readonly clock: Clock = {
    nowMs: () => START_MS + this.passedMs,
    monotonicMs: () => this.passedMs,
    sleep: () => Promise.resolve(),
  };
  readonly store = Object.assign(new MemoryStore(), {
    tellTime: () => Promise.resolve(this.clock.nowMs() + this.storeAheadMs),
  });
  readonly bin: RecycleBin;

  constructor(dir: TempDir) {
    this.#dir = dir;
    const { store, clock } = this;
    const catalog = this.#catalog;
    const workspace = {
      ...{ store, catalog, keys: { logKey: () => Promise.resolve(LOG_KEY) } },
      config: {
        ...{ path: join(dir.path, 'c.toml'), stateDir: join(dir.path, 'state') },
        ...{ recycleRetainMs: 38 * DAY_MS, graceMs: DAY_MS, expires: true },
      },
      sync: async () => {
        const logKey = () => Promise.resolve(LOG_KEY);
        await catalog.sync({ instances: [IID], logKey, store });
        const events = this.meanwhile;
        this.meanwhile = [];
        await this.say(...events);
      },
    };
    this.bin = new RecycleBin({
      ...{ workspace: workspace as unknown as Workspace, clock, random: seededRandom('bin') },
      audit: { append: () => undefined },
      warn: (message) => void this.warnings.push(message),
    });
  }

  static async open(): Promise<Bench> {
    const bench = new Bench(await TempDir.create());
    const { store, clock } = bench;
    await writeFile(
      join(bench.#dir.path, 'c.toml'),
      `version = 1
[store]
url = "file://${join(bench.#dir.path, 'store')}"
[state]
dir = "${join(bench.#dir.path, 'state')}"
[keys]
provider = "ring"
ring = "${join(bench.#dir.path, 'ring')}"
`,
    );
    await createInstance({
      ...{ store, iid: IID, logKey: LOG_KEY, clock, random: seededRandom('created') },
      ...{ name: IID, createdMs: START_MS },
    });
    await bench.say(bench.recycled());
    return bench;
  }

  async say(...events: readonly InstanceEvent[]): Promise<void> {
    const { store, clock } = this;
    const random = seededRandom(`other ${this.passedMs.toString()}`);
    const log = await openInstanceLog({ store, iid: IID, logKey: LOG_KEY, clock, random });
    for (const event of events) await log.append(() => event);
  }

  recycled(): InstanceEvent {
    const atMs = this.clock.nowMs();
    const untilMs = atMs + 38 * DAY_MS;
    return { type: 'InstanceRecycled', node: null, by: 'ops', untilMs, atMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#catalog[Symbol.dispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

it('what somebody begins to read while its destruction is asked for is not destroyed', async () => {
  await using bench = await Bench.open();
  const { bin, clock } = bench;
  const atMs = clock.nowMs();
  const lease = { lease: 'restore-1', purpose: 'restore', fromSecond: 0 } as const;
  bench.meanwhile = [{ type: 'LeaseTaken', ...lease, untilMs: atMs + DAY_MS, atMs }];
  const error = await rejection(bin.destroy(IID, IID, ALICE, signal));
  expect(error.code).toBe('TM_BUSY');
  expect(error.context).toMatchObject({ instance: IID, lease: 'restore-1' });
  expect((await bin.get(IID, signal)).state).toBe('kept');
});

it.each(['while it is looked at', 'before it is looked at'])(
  'what is taken back and released anew %s is not destroyed for its first stay',
  async (when) => {
    await using bench = await Bench.open();
    const { bin, clock } = bench;
    await bin.sweep(signal);
    bench.passedMs = 38 * DAY_MS;
    await bin.sweep(signal);
    expect(bench.warnings).toEqual([expect.stringContaining('is due')]);
    bench.passedMs += DAY_MS;
    const again: readonly InstanceEvent[] = [
      { type: 'InstanceReturned', by: 'ops', atMs: clock.nowMs() },
      bench.recycled(),
    ];
    const meant = await bin.get(IID, signal);
    bench.meanwhile = again;
    if (when === 'while it is looked at') {
      const error = await rejection(bin.destroy(IID, IID, ALICE, signal, meant));
      expect(error.code).toBe('TM_BUSY');
      expect(error.context).toMatchObject({ instance: IID, sinceMs: clock.nowMs() });
    } else {
      await bin.sweep(signal);
      expect(bench.warnings.at(-1)).toContain('released anew');
    }
    const { state, untilMs } = await bin.get(IID, signal);
    expect([state, untilMs]).toEqual(['kept', clock.nowMs() + 38 * DAY_MS]);
  },
);

it('what nobody touches meanwhile is destroyed by the sweep', async () => {
  await using bench = await Bench.open();
  for (const day of [0, 38, 39]) {
    bench.passedMs = day * DAY_MS;
    await bench.bin.sweep(signal);
  }
  expect((await bench.bin.get(IID, signal)).state).toBe('destroyed');
});

it.each([60 * DAY_MS, -60 * DAY_MS])(
  'nothing is released while the clock of the store is %d ms ahead',
  async (aheadMs) => {
    await using bench = await Bench.open();
    bench.storeAheadMs = aheadMs;
    const error = await rejection(bench.bin.put('users', ALICE, signal));
    expect(error.code).toBe('TM_STORE_CLOCK');
    expect(error.context).toMatchObject({ instance: 'users', aheadMs: -aheadMs });
    // By the clock that is right it gets further.
    bench.storeAheadMs = 60_000;
    expect((await rejection(bench.bin.put('users', ALICE, signal))).code).toBe('TM_NOT_FOUND');
  },
);
