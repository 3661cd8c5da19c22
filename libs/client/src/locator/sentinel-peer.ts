import { NodeError, type Clock, type Random } from '@tidemark/core';
import type { NodeAddress } from '../node-address.ts';
import { connectNode, type NodeClient } from '../node-client.ts';
import { jittered } from './jitter.ts';
import { masterNames, readAnswer, type SentinelAnswer } from './sentinel-answer.ts';
import { sentinelError, unknownMaster } from './sentinel-errors.ts';

/** What all Sentinels of a set share. */
export interface PeerSettings {
  readonly master: string;
  /** For connecting and for each answer. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

const PAUSE_MS = 500;
const PAUSE_MS_MAX = 30_000;
const FAILURES_MAX = 8;

const QUESTIONS = ['GET-MASTER-ADDR-BY-NAME', 'MASTER', 'REPLICAS', 'SENTINELS'];

/** One Sentinel: the questions go over one connection that is kept. */
export class SentinelPeer {
  readonly address: NodeAddress;
  readonly #settings: PeerSettings;
  #id: string | null = null;
  #client: NodeClient | null = null;
  #asking: Promise<SentinelAnswer> | null = null;
  #failures = 0;
  #notBefore = -Infinity;

  constructor(address: NodeAddress, settings: PeerSettings) {
    this.address = address;
    this.#settings = settings;
  }

  /** What it calls itself; null while that is not known. */
  get id(): string | null {
    return this.#id;
  }

  /** Whether it failed a moment ago and is better left alone. */
  get isResting(): boolean {
    return this.#settings.clock.monotonicMs() < this.#notBefore;
  }

  /** Whether its latest answer was a good one. */
  get answers(): boolean {
    return this.#client?.isOpen === true && this.#failures === 0;
  }

  /**
   * Asks about the set; who asks meanwhile gets the same answer.
   *
   * @throws NodeError `TM_SENTINEL_MASTER`, `TM_SENTINEL_AUTH`, `TM_NODE_UNREACHABLE`, …
   */
  ask(): Promise<SentinelAnswer> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return this.#asking;
  }

  async #ask(): Promise<SentinelAnswer> {
    const { clock, random, signal } = this.#settings;
    try {
      const answer = await this.#answer();
      this.#failures = 0;
      this.#notBefore = -Infinity;
      return answer;
    } catch (error) {
      this.#failures = Math.min(FAILURES_MAX, this.#failures + 1);
      const max = Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** this.#failures);
      this.#notBefore = clock.monotonicMs() + jittered(random, max / 2, max);
      await this.close();
      signal.throwIfAborted();
      throw sentinelError(error, this.address);
    }
  }

  async #answer(): Promise<SentinelAnswer> {
    const { master } = this.#settings;
    const client = await this.#connected();
    const replies = await client.pipeline([
      ...QUESTIONS.map((question) => ['SENTINEL', question, master]),
      ['SENTINEL', 'MYID'],
    ]);
    const [address] = replies;
    if (address instanceof Error) throw address;
    const answer = readAnswer(replies);
    if (answer === null) {
      if (address === null) throw unknownMaster(master, this.address, await otherMasters(client));
      throw new NodeError('TM_NODE_REPLY', 'the Sentinel names no place', { context: { master } });
    }
    this.#id = answer.id;
    return answer;
  }

  async #connected(): Promise<NodeClient> {
    if (this.#client?.isOpen === true) return this.#client;
    this.#client = await this.#connect('tidemark-locator');
    return this.#client;
  }

  #connect(name: string): Promise<NodeClient> {
    const { timeoutMs, signal } = this.#settings;
    return connectNode(this.address, { timeoutMs, replyTimeoutMs: timeoutMs, name, signal });
  }

  /**
   * Listens for changes of the primary on a second connection.
   *
   * @param onSwitch - Called for each change of this set.
   */
  async listen(onSwitch: () => void): Promise<NodeClient> {
    const { master } = this.#settings;
    const client = await this.#connect('tidemark-watch');
    try {
      await client.subscribe('+switch-master', (message) => {
        if (message.split(' ', 1)[0] === master) onSwitch();
      });
      return client;
    } catch (error) {
      await client.close();
      throw sentinelError(error, this.address);
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.close();
  }
}

/** The names that a Sentinel knows; null when it does not tell them. */
async function otherMasters(client: NodeClient): Promise<readonly string[] | null> {
  const [reply] = await client.pipeline([['SENTINEL', 'MASTERS']]);
  return reply instanceof Error ? null : masterNames(reply);
}
