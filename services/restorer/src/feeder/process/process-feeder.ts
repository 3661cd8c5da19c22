import { UsageError } from '@tidemark/core';
import type { InstanceKeys, KeySettings } from '@tidemark/crypto';
import type { StoreSettings } from '@tidemark/store';
import type { CommandForm } from '../../feed/command-source.ts';
import { DyingKeys, type DyingKeysState } from '../../feed/dying-keys.ts';
import type { Vanishing } from '../../feed/vanish-forecast.ts';
import type { LookInside, WriterPlace } from '../../plan/look-inside.ts';
import type {
  FeedCall,
  Feeder,
  FeederOrder,
  FeedOutline,
  KnowsCommand,
  OpenFeeder,
  RunningFeed,
} from '../feeder.ts';
import { FeederLink } from './feeder-link.ts';
import type { FeederSettings, ToldOutcome } from './protocol.ts';
import { spawnFeeder } from './spawn-feeder.ts';

/** What a feeding process is told of the outside: plain data without secrets. */
export interface ProcessFeederOptions {
  readonly store: StoreSettings;
  readonly keys: KeySettings;
  /** Keys that data keys of an instance may be wrapped with, as its log says. */
  readonly keysOf: (instance: string) => InstanceKeys;
}

/**
 * Has a process of its own open and feed: this one never holds a data key of a plan, nor a byte of
 * what it feeds. It dies with this process, opens no database and has no right to write a file.
 */
export function processFeeder({ store, keys, keysOf }: ProcessFeederOptions): OpenFeeder {
  return (instance, ports) => {
    const mayRun = store.kind !== 'file' || keys.provider !== 'ring';
    const settings = { store, keys, instance, instanceKeys: keysOf(instance) };
    return new ProcessFeeder(() => new FeederLink(spawnFeeder({ mayRun }), ports), settings);
  };
}

class ProcessFeeder implements Feeder {
  readonly isolated = true;
  readonly #start: () => FeederLink;
  readonly #settings: FeederSettings;
  #started: FeederLink | null = null;
  #opened: Promise<null> | null = null;

  constructor(start: () => FeederLink, settings: FeederSettings) {
    this.#start = start;
    this.#settings = settings;
  }

  look(place: WriterPlace): LookInside {
    return {
      boundary: async (offset, floor, segments) => {
        const link = await this.#open();
        return link.call<bigint>({ do: 'boundary', place, offset, floor, segments });
      },
      commandStart: async (offset, segments, within) => {
        const link = await this.#open();
        await link.call({ do: 'start', place, offset, segments, within });
      },
    };
  }

  async order(order: FeederOrder): Promise<FeedOutline> {
    const link = await this.#open();
    return link.call<FeedOutline>({ do: 'order', order });
  }

  async verify(depth: 'stream' | 'full'): Promise<void> {
    await this.#link.call({ do: 'verify', depth });
  }

  changesFor(form: CommandForm, knows: KnowsCommand): Promise<Readonly<Record<string, number>>> {
    this.#link.answerWith(knows);
    return this.#link.call({ do: 'changes', form });
  }

  mayGiveKeys(): Promise<boolean> {
    return this.#link.call<boolean>({ do: 'gives' });
  }

  forecast(untilMs: number): Promise<Vanishing> {
    return this.#link.call<Vanishing>({ do: 'forecast', untilMs });
  }

  async dyingKeys(untilMs: number): Promise<DyingKeys> {
    return DyingKeys.from(await this.#link.call<DyingKeysState>({ do: 'dying', untilMs }));
  }

  async feed(call: FeedCall, knows: KnowsCommand): Promise<RunningFeed> {
    this.#link.answerWith(knows);
    const { port } = await this.#link.call<{ readonly port: number }>({ do: 'feed', call });
    const link = this.#link;
    return {
      port,
      finished: async () => {
        const { dying, ...outcome } = await link.call<ToldOutcome>({ do: 'finished' });
        return { ...outcome, dying: DyingKeys.from(dying) };
      },
      [Symbol.asyncDispose]: () => link.settle({ do: 'unfeed' }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#started?.end();
  }

  /** Started when it is needed first: many a plan is refused before. */
  async #open(): Promise<FeederLink> {
    this.#started ??= this.#start();
    this.#opened ??= this.#started.call<null>({ do: 'open', settings: this.#settings });
    await this.#opened;
    return this.#started;
  }

  get #link(): FeederLink {
    if (this.#started !== null) return this.#started;
    throw new UsageError('TM_USAGE', 'a feeder without an order');
  }
}
