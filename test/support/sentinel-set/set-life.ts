import { connectNode } from '@tidemark/client';
import { systemClock } from '@tidemark/system';
import { expect } from 'vitest';
import type { LinkStatus } from '../../../services/archiver/src/capture/link-status.ts';
import { INSTANCE } from '../archiver-run.ts';
import { NodeLife } from '../node-life.ts';
import { MASTER, roleOf, SentinelSet, waitUntil, type SetNode } from './sentinel-set.ts';

/** A sample comes between the start of a second and this many milliseconds. */
const WRITE_FROM_MS = 300;

/** How a test wants its set. */
export interface SetLifeOptions {
  /** A server from 7.2 on, which does not log every consumer; default that of the PATH. */
  readonly newer?: string | undefined;
  /** The capture prefers a replica. Default false. */
  readonly preferReplica?: boolean;
}

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

  static async start({ newer, preferReplica = false }: SetLifeOptions = {}): Promise<SetLife> {
    const program = newer === undefined ? {} : { binary: newer };
    const set = await SentinelSet.start({ ...program, config: { databases: '4' } });
    try {
      const { address } = set.sentinel(0);
      const instances = [{ id: INSTANCE, address, locator: () => set.locator({ preferReplica }) }];
      const life = await NodeLife.start({
        ...{ ...program, source: 'psync', lossyLog: newer !== undefined },
        archiver: { instances },
      });
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

  /** Writes for some seconds into the primary and records each, once its timeline has begun. */
  async record(seconds = 1): Promise<void> {
    await this.life.untilProven(Math.floor(Date.now() / 1000));
    await this.life.record(seconds, this.set.server(this.#primary));
  }

  /** `SENTINEL FAILOVER`: what the old primary takes until it is told so is lost. */
  async failover(): Promise<void> {
    const before = this.#primary;
    await this.#underLoad(async () => {
      await this.set.failover();
      this.#primary = await this.set.newPrimary(before);
    });
    await this.follows(this.#primary);
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
    await this.follows(this.#primary);
  }

  /** SIGKILL of the primary; its successor is chosen by the Sentinels. */
  async kill(): Promise<void> {
    const before = this.#primary;
    await this.#underLoad(async () => {
      await before.kill();
      this.#primary = await this.set.newPrimary(before);
    });
    await this.follows(this.#primary);
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

  /** SIGSTOP of the primary until another one leads; then there are two for a while. */
  async cutOff(): Promise<void> {
    const before = this.#primary;
    this.set.pause(before);
    this.#primary = await this.set.newPrimary(before);
    await this.follows(this.#primary);
    await this.record();
    this.set.resume(before);
    await this.set.settled();
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
    expect((await this.link()).fullResyncs).toBe(1 + closed.length);
    return closed.length;
  }

  /** What the archiver says of its link; a machine that is short of time may let it wait. */
  async link(): Promise<LinkStatus> {
    let link: LinkStatus | null = null;
    await waitUntil('the archiver tells of its link', async () => {
      link = (await this.life.archiver.status()).link;
      return link !== null;
    });
    return link as unknown as LinkStatus;
  }

  /** Waits until the capture receives from a node, and has every byte of the primary. */
  async follows(node: SetNode): Promise<void> {
    await waitUntil(`the capture follows ${node.port}`, async () => {
      const { link } = await this.life.archiver.status();
      return link?.state === 'streaming' && link.node === `redis://127.0.0.1:${node.port}`;
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
