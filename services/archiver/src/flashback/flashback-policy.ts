import { probeAofDir, removeAofPins } from '@tidemark/aof';
import { openWriterLog, type InstanceLog } from '@tidemark/catalog';
import { openTimelineOf } from '../capture/open-timeline.ts';
import { dropWire } from '../close-log.ts';
import { SHARD, writersOf } from '../instance-writers.ts';
import { openKnownLog } from '../known-logs.ts';
import { isOneOffOwner } from '../one-off/dump-log.ts';
import type { CaptureSetting, InstanceTarget } from '../open-capture.ts';
import { MeteredStore, type RequestMeter } from '../ship/request-meter.ts';

/** What the policy of an instance is asked with. */
export interface FlashbackPolicyOptions extends Pick<
  CaptureSetting,
  'store' | 'keys' | 'clock' | 'random' | 'stateDir'
> {
  readonly instance: string;
  /** What holds for an instance that has no policy of its own. */
  readonly byDefault: boolean;
  /** Counts what is asked of the store. */
  readonly requests: RequestMeter;
}

/** Whether the log of an instance is to be kept, as its policy says. */
export class FlashbackPolicy {
  readonly #options: FlashbackPolicyOptions;
  readonly #store: MeteredStore;
  #log: InstanceLog | null = null;

  constructor(options: FlashbackPolicyOptions) {
    this.#options = options;
    this.#store = new MeteredStore(options.store, options.requests);
  }

  /** @throws StoreError; CatalogError; KeyError. */
  async isOn(): Promise<boolean> {
    const { policy } = (await this.#read()).state;
    return policy === null ? this.#options.byDefault : (policy.flashback ?? true);
  }

  /**
   * Whether a timeline is open: a capture has to end it, which ships what lies in spool and pins.
   * @throws As `isOn`.
   */
  async hasOpenTimeline(): Promise<boolean> {
    const { instance: iid, keys, clock, random } = this.#options;
    const store = this.#store;
    const logKey = await keys.logKey(iid);
    for (const { writer } of writersOf(await this.#read())) {
      const log = await openWriterLog({ store, iid, shard: SHARD, writer, logKey, clock, random });
      // What a one-off backup left open the next one closes.
      const isOneOff = isOneOffOwner(log.state.owner?.ownerId ?? '');
      if (openTimelineOf(log.state) !== null && !isOneOff) return true;
    }
    return false;
  }

  /** Takes away what only a capture needs: received bytes, and pins that would keep old files. */
  async tidy({ aofDir }: InstanceTarget): Promise<void> {
    const { instance, stateDir } = this.#options;
    await dropWire(instance, stateDir);
    if (aofDir === undefined) return;
    const { dir, manifestName } = await probeAofDir(aofDir);
    for (const { writer } of writersOf(await this.#read())) {
      await removeAofPins({ dir, manifestName, pinOwner: writer });
    }
  }

  async #read(): Promise<InstanceLog> {
    if (this.#log !== null) {
      await this.#log.catchUp();
      return this.#log;
    }
    const { instance: iid, store: counted, keys, clock, random } = this.#options;
    const logKey = await keys.logKey(iid);
    const options = { store: this.#store, iid, logKey, clock, random };
    this.#log = await openKnownLog(options, counted);
    return this.#log;
  }
}
