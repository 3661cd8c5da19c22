import { connectNode } from '@tidemark/client';
import { systemClock } from '@tidemark/system';
import { expect } from 'vitest';
import { INSTANCE } from '../archiver-run.ts';
import { NodeLife } from '../node-life.ts';
import { MASTER, roleOf, SentinelSet, waitUntil, type SetNode } from './sentinel-set.ts';

/** A sample comes between the start of a second and this many milliseconds. */
const WRITE_FROM_MS = 300;

/** A Sentinel set under load, and a capture that follows it by replication. */
export class SetLife implements AsyncDisposable {
  readonly set: SentinelSet;
  readonly life: NodeLife;
  #primary: SetNode;

  private constructor(set: SentinelSet, life: NodeLife) {
    this.set = set;
    this.life = life;
    this.#primary = set.node(0);
  }

  static async start(binary?: string): Promise<SetLife> {
    const program = binary === undefined ? {} : { binary };
    const set = await SentinelSet.start({ ...program, config: { databases: '4' } });
    try {
      const { address } = set.sentinel(0);
      const instances = [{ id: INSTANCE, address, locator: () => set.locator() }];
      const life = await NodeLife.start({ ...program, source: 'psync', archiver: { instances } });
      // One that ends by itself fails a test somewhere; this says why.
      life.archiver.done.catch((cause: unknown) => console.error('the archiver ended', cause));
      return new SetLife(set, life);
    } catch (error) {
      await set[Symbol.asyncDispose]();
      throw error;
    }
  }

  get primary(): SetNode {
    return this.#primary;
  }

  /** Writes for some seconds into the primary and records each. */
  async record(seconds = 1): Promise<void> {
    await this.life.record(seconds, this.set.server(this.#primary));
  }

  /** `SENTINEL FAILOVER`: what the old primary takes until it is told so is lost. */
  async failover(): Promise<void> {
    const before = this.#primary;
    await this.#underLoad(async () => {
      await this.set.failover();
      this.#primary = await this.set.newPrimary(before);
    });
    await this.#followed();
    await this.set.settled();
  }

  /**
   * `FAILOVER`: the primary holds writes until its successor has all of them. The Sentinels, which
   * know nothing of it and would undo it, are told to wait.
   */
  async handOver(): Promise<void> {
    const before = this.#primary;
    await this.set.eachSentinel((client) =>
      client.call('SENTINEL', 'SET', MASTER, 'down-after-milliseconds', 600_000),
    );
    await this.#underLoad(async () => {
      const client = await before.connect();
      await client.call('FAILOVER');
      await waitUntil('the primary is a replica', async () => (await roleOf(before)) === 'slave');
      await waitUntil('another node leads', async () => (await this.#leader()) !== null);
      this.#primary = (await this.#leader()) ?? before;
    });
    await this.#followed();
  }

  /** SIGKILL of the primary; its successor is chosen by the Sentinels. */
  async kill(): Promise<void> {
    const before = this.#primary;
    await this.#underLoad(async () => {
      await before.kill();
      this.#primary = await this.set.newPrimary(before);
    });
    await this.#followed();
    await before.restart();
    await this.set.settled();
  }

  /** Waits until the capture has every byte of the primary. */
  async captured(): Promise<void> {
    await using client = await connectNode({ host: '127.0.0.1', port: this.#primary.port });
    const offset = (await client.info('replication')).number('master_repl_offset');
    await waitUntil('the capture has caught up', async () => {
      const { link } = await this.life.archiver.status();
      return Number(link?.offset ?? 0) >= offset;
    });
  }

  /** Why timelines were closed; a failover may close one for a single reason. */
  async closed(): Promise<readonly string[]> {
    const events = await this.life.bench.events('TimelineClosed');
    return events.map((event) => (event.type === 'TimelineClosed' ? event.reason : ''));
  }

  /**
   * Every recorded second is restored equal; a timeline ended only where a new primary did not have
   * what was captured, and nothing was synced anew but for that.
   * @returns How many branches were left behind.
   */
  async expectHistory(): Promise<number> {
    const closed = await this.closed();
    for (const reason of closed) expect(reason).toBe('divergent-tail');
    const windows = await this.life.expectHistory({
      closed: closed.map(() => 'divergent-tail' as const),
    });
    for (const { second } of this.life.recorded) {
      const inside = windows.ranges.some(({ from, to }) => from <= second && second <= to);
      expect(inside, `${second} of ${JSON.stringify(windows)}`).toBe(true);
    }
    const { link } = await this.life.archiver.status();
    expect(link?.fullResyncs).toBe(1 + closed.length);
    return closed.length;
  }

  /** The capture receives from the primary. */
  async #followed(): Promise<void> {
    const node = `redis://127.0.0.1:${this.#primary.port}`;
    await waitUntil('the capture follows the new primary', async () => {
      const { link } = await this.life.archiver.status();
      return link?.state === 'streaming' && link.node === node;
    });
    await this.captured();
  }

  async #leader(): Promise<SetNode | null> {
    for (const node of this.set.nodes) if ((await roleOf(node)) === 'master') return node;
    return null;
  }

  /** Writes into whoever takes it while something happens. */
  async #underLoad(work: () => Promise<void>): Promise<void> {
    const stop = new AbortController();
    const load = this.#write(stop.signal);
    try {
      await systemClock.sleep(200);
      await work();
    } finally {
      stop.abort();
      await load;
    }
  }

  async #write(signal: AbortSignal): Promise<void> {
    const goesOn = (): boolean => !signal.aborted;
    for (let i = 0; goesOn(); i++) {
      const client = await connectNode({ host: '127.0.0.1', port: this.#primary.port }).catch(
        () => null,
      );
      if (client === null) {
        await systemClock.sleep(50);
        continue;
      }
      await using writer = client;
      while (goesOn() && writer.isOpen) {
        if (Date.now() % 1000 < WRITE_FROM_MS) {
          await systemClock.sleep(10);
          continue;
        }
        const commands = Array.from({ length: 20 }, (_, at) => ['INCRBY', `load:${at}`, i]);
        const replies = await writer.pipeline(commands).catch(() => null);
        // A node that was made a replica takes no writes.
        if (replies === null || replies.some((reply) => reply instanceof Error)) break;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.life[Symbol.asyncDispose]();
    await this.set[Symbol.asyncDispose]();
  }
}
