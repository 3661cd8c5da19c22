import type { Clock } from '@tidemark/core';

/** How to reach a Kafka cluster; secrets are read already. */
export interface BusSettings {
  /** HOST:PORT each. */
  readonly brokers: readonly string[];
  /** Begins the name of every topic and group, e.g. `tidemark.`. */
  readonly topicPrefix: string;
  /** `ca`: PEM of the authorities that are trusted; null: those of the system. Null: no TLS. */
  readonly tls: { readonly ca: string | null } | null;
  readonly sasl: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  } | null;
}

/** What the bus logs through: a constant message; data goes into the fields. */
export interface BusLogger {
  info(message: string, fields?: BusLogFields): void;
  warn(message: string, fields?: BusLogFields): void;
  error(message: string, fields?: BusLogFields): void;
}

/** Numbers, ids and reasons. */
export type BusLogFields = Readonly<Record<string, string | number | boolean | null>>;

/** What the bus needs of its process. */
export interface BusPorts {
  readonly clock: Clock;
  readonly logger: BusLogger;
  /** Names this process to the brokers. */
  readonly clientId: string;
}

/** The topics, without their prefix. */
export type TopicName = 'events' | 'jobs' | 'job-events' | 'job-control' | 'writers' | 'parked';

/** What is sent. */
export interface BusMessage {
  /** Messages with the same key keep their order. */
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What has come. */
export interface BusDelivery {
  readonly topic: TopicName;
  readonly partition: number;
  /** Position in its partition. */
  readonly offset: bigint;
  /** Null: sent without one. */
  readonly key: string | null;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** A member of a group that shares topics out among its members. */
export interface ConsumeOptions {
  /** Without the prefix. */
  readonly group: string;
  readonly topics: readonly TopicName[];
  /**
   * Takes one message; those of a partition come one after another, each at least once.
   *
   * An error that is retryable is waited out, for as long as it takes; any other one parks the message.
   */
  readonly onMessage: (message: BusDelivery) => Promise<void> | void;
  /** How long a member may be silent; default 6 s. */
  readonly sessionMs?: number;
  readonly signal: AbortSignal;
}

/** Reads topics as they are now, without a group. */
export interface ReadOptions {
  readonly topics: readonly TopicName[];
  readonly onMessage: (message: BusDelivery) => Promise<void> | void;
  readonly signal: AbortSignal;
}

/** Why an instance is given up. */
export type RevokeReason =
  /** Another member takes it, once this one has let go. */
  | 'moved'
  /** The group went on without this member: another one may have it already. */
  | 'lost'
  /** This member leaves. */
  | 'left';

/** A member of a group that shares instances out. */
export interface JoinOptions {
  /** Without the prefix. */
  readonly group: string;
  /** Its partitions are the slots that instances are counted to. */
  readonly topic: 'writers';
  /** Those that this member can take. */
  readonly instances: readonly string[];
  /**
   * Those that it works on and has just shown to have the right to. They stay with it when the group
   * has gone on without it. Default: none.
   */
  readonly proven?: () => readonly string[];
  /** Begins the work; returns soon. An error is logged, the assignment stays. */
  readonly onAssigned: (instances: readonly string[]) => Promise<void> | void;
  /** Ends the work; awaited for at most `revokeMsMax` before another member is given it. */
  readonly onRevoked: (instances: readonly string[], why: RevokeReason) => Promise<void> | void;
  /** How long a member may be silent before the others go on without it. */
  readonly sessionMs: number;
  /** How often it says that it lives, and learns what has changed; default a fifth of the session. */
  readonly heartbeatMs?: number;
  /** Default 10 s. */
  readonly revokeMsMax?: number;
  readonly signal: AbortSignal;
}

/** Where a member stands. */
export interface MembershipState {
  /** False while the group cannot be reached: what is held stays held. */
  readonly connected: boolean;
  /** -1 before the first. */
  readonly generation: number;
  readonly held: readonly string[];
}

/** A membership that lasts until its signal. */
export interface Membership {
  state(): MembershipState;
  /** The instances that this member can take have changed. */
  change(instances: readonly string[]): void;
  /** Settles when it has left, after the signal; never rejects. */
  readonly over: Promise<void>;
}

/** Carries messages between hosts. Kafka behind it is nobody's business. */
export interface Bus extends AsyncDisposable {
  /** Name of a topic with its prefix. */
  topic(name: TopicName): string;
  /**
   * Makes the topics that are not there.
   * @throws BusError `TM_BUS_DOWN`, `TM_BUS_REFUSED`.
   */
  ensureTopics(): Promise<void>;
  /**
   * Stored by all replicas in sync when it resolves, in order. After an error some may be stored.
   * @throws BusError `TM_BUS_DOWN`, `TM_BUS_REFUSED`, `TM_BUS_LIMIT` for a message over 900 KiB.
   */
  publish(topic: TopicName, messages: readonly BusMessage[]): Promise<void>;
  /** Settles when the signal is aborted and the group left; outages of the cluster are waited out. */
  consume(options: ConsumeOptions): Promise<void>;
  /**
   * Gives every message that is there now.
   * @returns How many.
   * @throws BusError `TM_BUS_DOWN`, `TM_BUS_REFUSED`, and what `onMessage` throws.
   */
  read(options: ReadOptions): Promise<number>;
  joinGroup(options: JoinOptions): Membership;
}
