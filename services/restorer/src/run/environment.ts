import type { Catalog } from '@tidemark/catalog';
import type { NodeAddress, TlsSettings } from '@tidemark/client';
import type { Clock, Random } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { SelectorSpec } from '@tidemark/selector';
import type { ObjectStore } from '@tidemark/store';
import type { SkipRange } from '../closure/skip-range.ts';
import type { FactsWish } from '../facts/facts-report.ts';
import type { FeedTlsWish } from '../feed-tls/feed-tls-plan.ts';
import type { NewServerTls } from '../feed-tls/new-server-tls.ts';
import type { DyingKeys } from '../feed/dying-keys.ts';
import type { Vanishing } from '../feed/vanish-forecast.ts';
import type { OpenFeeder } from '../feeder/feeder.ts';
import type { WantedPoint } from '../plan/make-plan.ts';
import type { TtlChoice } from '../plan/ttl-rule.ts';
import type { NodePlace, TargetNode } from '../tde/original-node.ts';

/** What a restore runs on; adapters come from the process that calls it. */
export interface RestoreEnvironment {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  /** Up to date: the caller has synced it. */
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly random: Random;
  /** The archiver's word on TDE lies here, and records of restores are kept here. */
  readonly stateDir: string;
  /** Where records are kept instead, when nobody will go on with this restore. */
  readonly recordsDir?: string;
  /**
   * The configured node of the instance, which one with TDE is not restored into. Null: none is
   * configured on this host, or no server that somebody named is written to.
   */
  readonly original: NodePlace | null;
  /**
   * Looks at a server that somebody named, before anything is done to it and each time a restore goes
   * on: it throws for one that may not be written into.
   */
  readonly checkNode?: (target: TargetNode) => Promise<void>;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RestoreProgress) => void;
  /** Told which phase has ended (`plan`, `verify`, `preflight`, …). */
  readonly onPhase?: (phase: string) => void;
  /**
   * Awaited when the target is promoted and whole, before the record of the restore goes: from here on
   * nothing of it is taken back.
   */
  readonly onWhole?: (id: string, target: string) => Promise<void>;
  /** Told which keys will vanish at once, before the target is promoted. */
  readonly onVanishing?: (vanishing: Vanishing) => void;
  /** Given what the replay noted of keys that may have expired by now. */
  readonly onDying?: (dying: DyingKeys) => void;
  /**
   * Who opens what is sealed and feeds it: `processFeeder`, a process of its own. Default: this
   * process, which an instance with TDE refuses.
   */
  readonly openFeeder?: OpenFeeder;
}

/** How far a restore is. */
export interface RestoreProgress {
  readonly phase: string;
  readonly bytes: number;
  readonly bytesTotal: number;
}

/** Where the data goes: a running server, or one that is started here. */
export type RestoreTarget =
  | {
      readonly kind: 'server';
      /** Shown in reports: no password in it. */
      readonly url: string;
      readonly address: NodeAddress;
      /** So that another process can go on: the password itself is not kept. */
      readonly passwordFile: string | null;
      /** Files and settings of TLS with absolute paths, for the same purpose. */
      readonly tls?: TlsSettings;
    }
  | {
      readonly kind: 'new';
      readonly port: number;
      /** Tried in turn instead of `port`, until one is free. */
      readonly ports?: readonly number[];
      readonly dir: string | null;
      /**
       * It asks everybody for this password from its first moment on; the file lets another process
       * go on. Absent: who reaches the loopback gets in.
       */
      readonly closed?: { readonly password: string; readonly passwordFile: string };
      /** It speaks TLS only; absent: plain on the loopback. */
      readonly tls?: NewServerTls;
    };

/** What a restore is asked to do. */
export interface RestoreRequest {
  /** `rs-` and a fresh id, for who must know it before anything is done; default: one is made. */
  readonly id?: string;
  readonly instance: string;
  readonly point: WantedPoint;
  readonly ttl: TtlChoice;
  /** Only these keys; null: every key. */
  readonly selector?: SelectorSpec | null;
  /**
   * Whether keys stay that only the type of the selector leaves out. Who compares must see that they
   * were of another type, not absent. Default false.
   */
  readonly keepOtherTypes?: boolean;
  /** With a selector: the functions as well. Default false. */
  readonly withFunctions?: boolean;
  /** Commands that are left out of the replay. */
  readonly skip?: SkipRange | null;
  readonly target: RestoreTarget;
  readonly promote: boolean;
  readonly verify: 'stream' | 'full';
  /** A target that holds data may be emptied. */
  readonly allowFlush: boolean;
  readonly feedListen: string | null;
  readonly feedAdvertise: string | null;
  /** The feed's certificate for a server that runs already; given: the feed goes over TLS. */
  readonly feedTls?: FeedTlsWish | null;
  /** Facts of the node that are written on the target too. */
  readonly facts: FactsWish | null;
}
