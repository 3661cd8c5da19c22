import { describeAddress, type NodeAddress } from '../node-address.ts';
import { agreedView } from './agreed-view.ts';
import { placeName } from './host-port.ts';
import type { SeenSentinel, SentinelAnswer } from './sentinel-answer.ts';
import { worstOf } from './sentinel-errors.ts';
import { SentinelPeer, type PeerSettings } from './sentinel-peer.ts';

/** Sentinels that are asked: those configured and those learned from them. */
const PEERS_MAX = 16;
/** How long to wait for the rest once most have answered. */
const REST_MS = 300;

type Outcome =
  { readonly answer: SentinelAnswer } | { readonly sentinel: NodeAddress; readonly error: unknown };

/** The Sentinels of a set. */
export class SentinelCircle {
  readonly #settings: PeerSettings;
  readonly #peers = new Map<string, SentinelPeer>();

  /** @param sentinels - Those configured; user, password and TLS of the first are those of all. */
  constructor(sentinels: readonly NodeAddress[], settings: PeerSettings) {
    this.#settings = settings;
    for (const address of sentinels) {
      this.#peers.set(placeName(address), new SentinelPeer(address, settings));
    }
  }

  /** The Sentinels as text, without user and password. */
  get names(): string {
    return [...this.#peers.values()].map(({ address }) => describeAddress(address)).join(', ');
  }

  /** Those that may be listened to, the best first. */
  get listenable(): readonly SentinelPeer[] {
    const peers = [...this.#peers.values()];
    return [...peers.filter((peer) => peer.answers), ...peers.filter((peer) => !peer.answers)];
  }

  /**
   * Asks all of them at once and goes by what they agree on; those that failed a moment ago are left
   * alone while others answer.
   *
   * @throws NodeError `TM_SENTINEL_DOWN`, `TM_SENTINEL_MASTER`, `TM_SENTINEL_AUTH`, or why TLS failed.
   */
  async ask(): Promise<SentinelAnswer> {
    const peers = [...this.#peers.values()];
    const rested = peers.filter((peer) => !peer.isResting);
    const outcomes = rested.length === 0 ? [] : await this.#askAll(rested);
    let answers = answersOf(outcomes);
    if (answers.length === 0 && rested.length < peers.length) {
      const others = await this.#askAll(peers.filter((peer) => !rested.includes(peer)));
      outcomes.push(...others);
      answers = answersOf(others);
    }
    const view = agreedView(answers);
    if (view === undefined) throw worstOf(outcomes.filter((outcome) => 'error' in outcome));
    for (const answer of answers) this.#learn(answer.sentinels);
    await this.#dropDoubles();
    return view;
  }

  async #askAll(peers: readonly SentinelPeer[]): Promise<Outcome[]> {
    const { clock, signal } = this.#settings;
    const outcomes: Outcome[] = [];
    let mostAnswered = (): void => undefined;
    const most = new Promise<void>((resolve) => (mostAnswered = resolve));
    const all = Promise.all(
      peers.map(async (peer) => {
        try {
          outcomes.push({ answer: await peer.ask() });
        } catch (error) {
          outcomes.push({ sentinel: peer.address, error });
        }
        if (answersOf(outcomes).length * 2 > peers.length) mostAnswered();
      }),
    );
    await Promise.race([all, most.then(() => clock.sleep(REST_MS, signal))]);
    return [...outcomes];
  }

  #learn(others: readonly SeenSentinel[]): void {
    const [first] = this.#peers.values();
    if (first === undefined) return;
    const ids = new Set([...this.#peers.values()].map(({ id }) => id));
    for (const { host, port, id } of others) {
      const name = placeName({ host, port });
      if (this.#peers.size >= PEERS_MAX || this.#peers.has(name)) continue;
      if (id !== null && ids.has(id)) continue; // configured under another name
      const address = { ...first.address, host, port };
      this.#peers.set(name, new SentinelPeer(address, this.#settings));
    }
  }

  /** One Sentinel under two addresses has one voice. */
  async #dropDoubles(): Promise<void> {
    const seen = new Set<string>();
    for (const [name, peer] of [...this.#peers]) {
      if (peer.id === null) continue;
      if (seen.has(peer.id)) {
        this.#peers.delete(name);
        await peer.close();
      }
      seen.add(peer.id);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
  }
}

function answersOf(outcomes: readonly Outcome[]): SentinelAnswer[] {
  return outcomes.flatMap((outcome) => ('answer' in outcome ? outcome.answer : []));
}
