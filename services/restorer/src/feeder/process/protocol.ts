import type { CatalogSegment } from '@tidemark/catalog';
import type { InstanceKeys, KeySettings } from '@tidemark/crypto';
import type { FeedResult } from '@tidemark/replication';
import type { StoreSettings } from '@tidemark/store';
import type { CommandForm } from '../../feed/command-source.ts';
import type { DyingKeysState } from '../../feed/dying-keys.ts';
import type { FedOutcome, FeedCall, FeederOrder, FeederProgress } from '../feeder.ts';
import type { Stretch, WriterPlace } from '../../plan/look-inside.ts';
import type { ToldError } from './told-error.ts';

/**
 * The language between a restore and its feeding process: documents (`document.ts`), one a line, to
 * its standard input and from its standard output. Both ends are of one version of Tidemark.
 */

/** What the feeding process opens before anything else: plain data, no secret in it. */
export interface FeederSettings {
  readonly store: StoreSettings;
  readonly keys: KeySettings;
  readonly instance: string;
  /** Keys that data keys of the instance may be wrapped with, as its log says. */
  readonly instanceKeys: InstanceKeys;
}

/** One thing that the feeding process is to do. */
export type Task =
  | { readonly do: 'open'; readonly settings: FeederSettings }
  | {
      readonly do: 'boundary';
      readonly place: WriterPlace;
      readonly offset: bigint;
      readonly floor: bigint;
      readonly segments: readonly CatalogSegment[];
    }
  | {
      readonly do: 'start';
      readonly place: WriterPlace;
      readonly offset: bigint;
      readonly segments: readonly CatalogSegment[];
      readonly within: Stretch;
    }
  /** The plan, with what is selected of it: names of objects, offsets, rules; no data. */
  | { readonly do: 'order'; readonly order: FeederOrder }
  | { readonly do: 'verify'; readonly depth: 'stream' | 'full' }
  | { readonly do: 'changes'; readonly form: CommandForm }
  | { readonly do: 'gives' }
  | { readonly do: 'forecast'; readonly untilMs: number }
  | { readonly do: 'dying'; readonly untilMs: number }
  /** Where to listen, the one-time user and password, and the key for TLS. */
  | { readonly do: 'feed'; readonly call: FeedCall }
  | { readonly do: 'finished' }
  | { readonly do: 'unfeed' };

/** To the feeding process. */
export type ToFeeder =
  | { readonly id: number; readonly task: Task }
  /** The answer to `ask`. */
  | { readonly asked: number; readonly knows: boolean }
  | { readonly asked: number; readonly error: ToldError };

/** From the feeding process. */
export type FromFeeder =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ToldError }
  | { readonly progress: FeederProgress }
  /** Whether the target runs a command that is in no table. */
  | { readonly ask: number; readonly command: string };

/** The outcome of a feed as it goes over the pipe. */
export type ToldOutcome = Omit<FedOutcome, 'dying' | 'fed'> & {
  readonly fed: FeedResult;
  readonly dying: DyingKeysState;
};

/** Longest line of the feeding process: names of keys are bounded where they are collected. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
