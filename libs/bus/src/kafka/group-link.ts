import kafkajs, { type Cluster } from 'kafkajs';
import type { Clock } from '@tidemark/core';
import { clusterOf } from './cluster.ts';
import { within } from './deadline.ts';
import type { Client } from './client.ts';
import { isKafkaError } from './errors.ts';

/** The requests of a group, which kafkajs has and does not declare. */
interface GroupBroker {
  joinGroup(request: {
    readonly groupId: string;
    readonly sessionTimeout: number;
    readonly rebalanceTimeout: number;
    readonly memberId: string;
    readonly protocolType: string;
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
  }): Promise<{
    readonly generationId: number;
    readonly leaderId: string;
    readonly memberId: string;
    readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
  }>;
  syncGroup(request: {
    readonly groupId: string;
    readonly generationId: number;
    readonly memberId: string;
    readonly groupAssignment: readonly {
      readonly memberId: string;
      readonly memberAssignment: Buffer;
    }[];
  }): Promise<{ readonly memberAssignment: Buffer }>;
  heartbeat(request: {
    readonly groupId: string;
    readonly groupGenerationId: number;
    readonly memberId: string;
  }): Promise<unknown>;
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
}

/** A group, as its members agree on it. */
export interface GroupFacts {
  readonly group: string;
  readonly topic: string;
  readonly sessionMs: number;
  readonly rebalanceMs: number;
}

/** Who is in a generation of a group. */
export interface Generation {
  readonly number: number;
  readonly memberId: string;
  /** Everybody's data; empty unless this member is to share out. */
  readonly members: readonly { readonly id: string; readonly data: Buffer }[];
}

/** What the coordinator thinks of a member. */
export type Standing = 'member' | 'rebalancing' | 'unknown';

/** Name of the way of sharing out: members of another one cannot join the group. */
const PROTOCOL = 'tidemark-slots-1';
const PROTOCOL_VERSION = 0;
const SLACK_MS = 5_000;
const CLOSE_MS_MAX = 1_000;

/**
 * A connection to the coordinator of a group that speaks the requests of membership itself: the
 * consumer of kafkajs tells of a rebalance without waiting for anybody, and gives everything up in
 * each of them.
 *
 * `Cluster` is what kafkajs gives to assigners.
 */
export class GroupLink {
  readonly #cluster: Cluster;
  readonly #disconnect: () => Promise<void>;
  readonly #facts: GroupFacts;
  readonly #clock: Clock;

  private constructor(
    cluster: Cluster,
    disconnect: () => Promise<void>,
    facts: GroupFacts,
    clock: Clock,
  ) {
    this.#cluster = cluster;
    this.#disconnect = disconnect;
    this.#facts = facts;
    this.#clock = clock;
  }

  /** @throws What kafkajs does; BusError `TM_BUS_DOWN` when nobody answers. */
  static async open(client: Client, facts: GroupFacts, clock: Clock): Promise<GroupLink> {
    const { cluster, disconnect } = clusterOf(client, facts.group);
    const link = new GroupLink(cluster, disconnect, facts, clock);
    await link.#within('connect', link.#connect());
    return link;
  }

  /**
   * Joins, or joins again; returns once the others have, or are out.
   * @param memberId - Empty for a new member.
   */
  async join(memberId: string, data: Buffer): Promise<Generation> {
    const { group, topic, sessionMs, rebalanceMs } = this.#facts;
    const broker = await this.#coordinator();
    const metadata = kafkajs.AssignerProtocol.MemberMetadata.encode({
      version: PROTOCOL_VERSION,
      topics: [topic],
      userData: data,
    });
    const joined = await this.#within(
      'join',
      broker.joinGroup({
        groupId: group,
        sessionTimeout: sessionMs,
        rebalanceTimeout: rebalanceMs,
        memberId,
        protocolType: 'consumer',
        groupProtocols: [{ name: PROTOCOL, metadata }],
      }),
      rebalanceMs,
    );
    const shares = joined.leaderId === joined.memberId;
    const members = shares ? joined.members : [];
    return {
      number: joined.generationId,
      memberId: joined.memberId,
      members: members.map(({ memberId: id, memberMetadata }) => ({
        id,
        data:
          kafkajs.AssignerProtocol.MemberMetadata.decode(memberMetadata)?.userData ??
          Buffer.alloc(0),
      })),
    };
  }

  /**
   * @param shares - What each member gets; empty for a member that does not share out.
   * @returns Slots of this member.
   */
  async sync(
    { number, memberId }: Generation,
    shares: ReadonlyMap<string, readonly number[]>,
  ): Promise<readonly number[]> {
    const { group, topic, rebalanceMs } = this.#facts;
    const broker = await this.#coordinator();
    const answer = await this.#within(
      'sync',
      broker.syncGroup({
        groupId: group,
        generationId: number,
        memberId,
        groupAssignment: [...shares].map(([id, slots]) => ({
          memberId: id,
          memberAssignment: kafkajs.AssignerProtocol.MemberAssignment.encode({
            version: PROTOCOL_VERSION,
            assignment: { [topic]: [...slots] },
            userData: Buffer.alloc(0),
          }),
        })),
      }),
      rebalanceMs,
    );
    const { MemberAssignment } = kafkajs.AssignerProtocol;
    return MemberAssignment.decode(answer.memberAssignment)?.assignment[topic] ?? [];
  }

  /** Says that this member lives. @throws When nobody answers. */
  async heartbeat({ number, memberId }: Generation): Promise<Standing> {
    const broker = await this.#coordinator();
    const beat = { groupId: this.#facts.group, groupGenerationId: number, memberId };
    try {
      await this.#within('heartbeat', broker.heartbeat(beat));
      return 'member';
    } catch (error) {
      const standing = standingOf(error);
      if (standing === null) throw error;
      return standing;
    }
  }

  /** The others need not wait for the session to end. */
  async leave(memberId: string): Promise<void> {
    const broker = await this.#coordinator();
    await this.#within('leave', broker.leaveGroup({ groupId: this.#facts.group, memberId }));
  }

  async close(): Promise<void> {
    const deadline = { clock: this.#clock, ms: CLOSE_MS_MAX, doing: 'leaving' };
    await within(deadline, this.#disconnect()).catch(() => undefined);
  }

  async #connect(): Promise<void> {
    await this.#cluster.connect();
    await this.#cluster.addMultipleTargetTopics([this.#facts.topic]);
  }

  async #coordinator(): Promise<GroupBroker> {
    const found = this.#cluster.findGroupCoordinator({ groupId: this.#facts.group });
    const broker: unknown = await this.#within('find coordinator', found);
    return broker as GroupBroker;
  }

  #within<T>(doing: string, work: Promise<T>, ms = this.#facts.sessionMs): Promise<T> {
    return within({ clock: this.#clock, ms: ms + SLACK_MS, doing }, work);
  }
}

/** What an error of a request says of the member; null: nothing. */
export function standingOf(error: unknown): Standing | null {
  if (isKafkaError(error, 'REBALANCE_IN_PROGRESS')) return 'rebalancing';
  const isUnknown = isKafkaError(
    error,
    'UNKNOWN_MEMBER_ID',
    'ILLEGAL_GENERATION',
    'FENCED_INSTANCE_ID',
  );
  return isUnknown ? 'unknown' : null;
}
