import type { FactsPart } from '@tidemark/archive';
import { backoffMs, connectLocated, pauseBeforeRetry, type NodeClient } from '@tidemark/client';
import { TidemarkError } from '@tidemark/core';
import { wipeDataKey, type LogKey } from '@tidemark/crypto';
import type { CaptureOptions } from '../capture/capture-options.ts';
import type { DataKeys } from '../ship/data-keys.ts';
import { retrying, type RetryOptions } from '../ship/retry.ts';
import type { AppendEvent } from '../ship/segment-shipper.ts';
import { fingerprintOf, readNote, writeNote } from './facts-note.ts';
import { readFacts, type ReadFacts } from './read-facts.ts';
import { packWithinLimit, sealFacts } from './seal-facts.ts';

/** Between two looks over one connection. */
const LOOK_MS = 60_000;
/**
 * Facts that do not change are stored anew after a day: retention keeps those that a kept second needs,
 * and with them every later entry of the log.
 */
const STORED_ANEW_MS = 24 * 3_600_000;
/** What a watch works with. */
export interface FactsWatchOptions extends RetryOptions {
  readonly capture: CaptureOptions;
  readonly dataKeys: DataKeys;
  readonly append: AppendEvent;
}

/**
 * Stores the facts of a node when it is attached and when they have changed: it looks at every new
 * connection, for a restart ends the old one, and every minute.
 */
export class FactsWatch {
  readonly #options: FactsWatchOptions;
  readonly #notePath: string;
  #known: ReadFacts | null = null;
  #fingerprint: string | null = null;
  /** When those facts were stored, Unix milliseconds. */
  #storedMs = 0;
  #fault: string | null = null;

  constructor(options: FactsWatchOptions) {
    this.#options = options;
    this.#notePath = `${options.capture.spool.dir}.facts`;
  }

  /**
   * Watches until the signal is aborted. A node that does not answer is asked again.
   * @throws CatalogError when another owner has taken the log.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { locator, keys, instance, clock } = this.#options.capture;
    const stopped = (): boolean => signal.aborted;
    const logKey = await keys.logKey(instance);
    this.#fingerprint = await this.#storedLast();
    for (let failures = 0; !stopped(); failures++) {
      let fault: unknown = null;
      try {
        await using client = await connectLocated(locator, {
          timeoutMs: 5_000,
          name: 'tidemark-facts',
          signal,
        });
        await this.#watch(client, logKey, signal);
        failures = 0;
      } catch (error) {
        if (stopped()) return;
        if (!(error instanceof TidemarkError) || isFinal(error)) throw error;
        this.#warn(error);
        fault = error;
      }
      await pauseBeforeRetry(backoffMs(failures, fault), { clock, signal, locator });
    }
  }

  async #watch(client: NodeClient, logKey: LogKey, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.capture;
    const lost = new AbortController();
    void client.closed.then(() => lost.abort());
    const either = AbortSignal.any([signal, lost.signal]);
    const denied = new Set<FactsPart>();
    while (client.isOpen) {
      this.#known = await readFacts(client, this.#known, denied);
      this.#fault = null;
      await this.#store(this.#known, logKey);
      await clock.sleep(LOOK_MS, either).catch(() => undefined);
      signal.throwIfAborted();
    }
  }

  async #store({ facts }: ReadFacts, logKey: LogKey): Promise<void> {
    const { capture, dataKeys, append } = this.#options;
    const { clock, logger } = capture;
    const { json, packed } = packWithinLimit(facts);
    const fingerprint = fingerprintOf(json, logKey);
    const isOld = Math.abs(clock.nowMs() - this.#storedMs) >= STORED_ANEW_MS;
    if (fingerprint === this.#fingerprint && !isOld) return;
    const dataKey = await retrying(this.#options, () => dataKeys.forFacts());
    const { object, body } = sealFacts(packed, dataKey, capture);
    wipeDataKey(dataKey);
    const atMs = clock.nowMs();
    await append({ type: 'NodeFactsStored', object, atMs }, body);
    this.#fingerprint = fingerprint;
    this.#storedMs = atMs;
    logger.info('node-facts', {
      version: facts.version,
      unread: facts.unread.map(({ part }) => part).join(','),
    });
    await this.#note(fingerprint);
  }

  /** The facts that the log holds, unless another owner may have stored others since. */
  async #storedLast(): Promise<string | null> {
    const { writer } = this.#options.capture;
    const note = await readNote(this.#notePath);
    if (note?.writer !== writer) return null;
    if (note.generation < this.#generation - 1) return null;
    this.#storedMs = note.storedMs;
    await this.#note(note.fingerprint);
    return note.fingerprint;
  }

  /** Without a note the facts are stored once more: that is no reason to stop. */
  async #note(fingerprint: string): Promise<void> {
    const { writer } = this.#options.capture;
    const generation = this.#generation;
    const note = { writer, generation, fingerprint, storedMs: this.#storedMs };
    await writeNote(this.#notePath, note).catch(() => undefined);
  }

  get #generation(): number {
    return this.#options.capture.log.state.owner?.generation ?? 0;
  }

  #warn({ code, message }: TidemarkError): void {
    if (this.#fault === code) return;
    this.#fault = code;
    this.#options.capture.logger.warn('node-facts', { code, error: message });
  }
}

/** The log belongs to somebody else, or does not take what this program writes. */
function isFinal({ code }: TidemarkError): boolean {
  return code.startsWith('TM_LOG_');
}
