import type { Clock } from '@tidemark/core';
import type { BusLogger, JoinOptions, Membership, MembershipState, RevokeReason } from '../bus.ts';
import { busError } from '../kafka/errors.ts';
import { standingOf, type Generation, type GroupLink } from '../kafka/group-link.ts';
import { decodeMemberData, encodeMemberData } from './member-data.ts';
import { shareOut, slotsThatDiffer, type Applicant } from './share-out.ts';
import { slotOf, slotSets } from './slots.ts';

/** What a member needs of its process. */
export interface MemberPorts {
  readonly clock: Clock;
  readonly logger: BusLogger;
  /** A new connection to the group; whoever asked closes it. */
  readonly connect: () => Promise<{ readonly link: GroupLink } & AsyncDisposable>;
}

/** Default of `revokeMsMax`. */
export const REVOKE_MS_MAX = 10_000;
const BACKOFF_MS = [200, 400, 800, 1_600, 3_000] as const;

/** One member of a group, until its signal. */
export class Member implements Membership {
  readonly over: Promise<void>;
  readonly #options: JoinOptions;
  readonly #ports: MemberPorts;
  #instances: readonly string[];
  /** Slots that this member works on. */
  #held: ReadonlySet<number> = new Set();
  /** What was given with `onAssigned` and not taken back: of the slots, those that it has. */
  #given: ReadonlySet<string> = new Set();
  /** Slots that it was told to let go of, and has not been given again: it asks for them no more. */
  #yielded: ReadonlySet<number> = new Set();
  #memberId = '';
  /** Slots of which it was told that members have different instances. */
  #different = '';
  #generation = -1;
  #connected = false;
  #changed = false;

  constructor(options: JoinOptions, ports: MemberPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#instances = [...options.instances];
    this.over = this.#live();
  }

  state(): MembershipState {
    return {
      connected: this.#connected,
      generation: this.#generation,
      held: [...this.#given].sort(),
    };
  }

  change(instances: readonly string[]): void {
    this.#instances = [...instances];
    this.#changed = true;
  }

  get #beatMs(): number {
    return this.#options.heartbeatMs ?? this.#options.sessionMs / 5;
  }

  async #live(): Promise<void> {
    const { signal } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#session(() => {
          failures = 0;
        });
      } catch (cause) {
        if (isOver(signal)) break;
        this.#tellAway(cause, failures);
        const pause = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] ?? 0;
        failures += 1;
        await this.#ports.clock.sleep(pause, signal).catch(() => undefined);
      } finally {
        this.#connected = false;
      }
    }
    // A member without a connection has let go of nothing yet.
    await this.#giveUp(this.#held, 'left');
  }

  #tellAway(cause: unknown, failures: number): void {
    // The first one is worth a line; those that follow are the same outage.
    if (failures !== 0) return;
    const { code, message } = busError(cause, 'membership of the group');
    this.#ports.logger.warn('the group cannot be reached; what is captured goes on', {
      group: this.#options.group,
      code,
      reason: message,
    });
  }

  /** One connection, until it breaks or the signal. */
  async #session(onJoined: () => void): Promise<void> {
    const { signal } = this.#options;
    await using connection = await this.#ports.connect();
    const { link } = connection;
    while (!signal.aborted) {
      const generation = await this.#joinAndSync(link);
      if (generation === null) continue;
      onJoined();
      await this.#stay(link, generation);
    }
    await this.#leave(link);
  }

  /** @returns Null when the group is to be joined again. */
  async #joinAndSync(link: GroupLink): Promise<Generation | null> {
    this.#changed = false;
    const sets = slotSets(this.#instances);
    const able = [...sets.keys()];
    const works = this.#proven();
    const proven = [...new Set(works.map(slotOf))];
    const held = new Set([...this.#held, ...proven]);
    try {
      const data = encodeMemberData({ held: [...held], able, proven, sets });
      const generation = await link.join(this.#memberId, data);
      this.#memberId = generation.memberId;
      const applicants = generation.members.map((each) => ({
        id: each.id,
        ...decodeMemberData(each.data),
      }));
      this.#tellDifferent(applicants);
      const slots = new Set(await link.sync(generation, shareOut(applicants)));
      this.#connected = true;
      this.#generation = generation.number;
      const lost = new Set([...held].filter((slot) => !slots.has(slot)));
      if (lost.size > 0) {
        this.#yielded = new Set([...this.#yielded, ...lost]);
        await this.#withHeartbeats(link, generation, this.#giveUp(lost, 'moved', works));
        return null; // so that they are given to somebody
      }
      await this.#take(slots);
      return generation;
    } catch (error) {
      const standing = standingOf(error);
      if (standing === null) throw error;
      if (standing === 'unknown') await this.#expelled();
      return null;
    }
  }

  /** Whoever shares out sees it. */
  #tellDifferent(applicants: readonly Applicant[]): void {
    const slots = slotsThatDiffer(applicants).join(' ');
    if (slots !== '' && slots !== this.#different) {
      const { group } = this.#options;
      this.#ports.logger.warn('hosts of the group do not have the same instances', {
        group,
        slots,
      });
    }
    this.#different = slots;
  }

  /** What it works on by right, whatever the group knows of it. */
  #proven(): readonly string[] {
    const all = this.#options.proven?.() ?? [];
    return all.filter((instance) => !this.#yielded.has(slotOf(instance)));
  }

  /** Until something is to change. */
  async #stay(link: GroupLink, generation: Generation): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      await this.#ports.clock.sleep(this.#beatMs, signal).catch(() => undefined);
      if (isOver(signal) || this.#changed) return;
      const standing = await link.heartbeat(generation);
      if (standing === 'unknown') await this.#expelled();
      if (standing !== 'member') return;
    }
  }

  /** Whoever was silent for too long begins anew: others may have what it works on. */
  async #expelled(): Promise<void> {
    this.#memberId = '';
    await this.#giveUp(this.#held, 'lost');
  }

  async #leave(link: GroupLink): Promise<void> {
    const giving = this.#giveUp(this.#held, 'left');
    const here = { number: this.#generation, memberId: this.#memberId, members: [] };
    await this.#withHeartbeats(link, here, giving);
    if (this.#memberId === '') return;
    // Without it the others wait for the session to end.
    await link.leave(this.#memberId).catch(() => undefined);
    this.#memberId = '';
  }

  /** While others wait for this member they must hear of it. */
  async #withHeartbeats(
    link: GroupLink,
    generation: Generation,
    work: Promise<void>,
  ): Promise<void> {
    const over = new AbortController();
    const beating = (async () => {
      const { clock } = this.#ports;
      while (!over.signal.aborted) {
        await clock.sleep(this.#beatMs, over.signal).catch(() => undefined);
        if (!isOver(over.signal)) await link.heartbeat(generation).catch(() => undefined);
      }
    })();
    try {
      await work;
    } finally {
      over.abort();
      await beating;
    }
  }

  /** @param works - What it works on and was not given. */
  async #giveUp(
    slots: ReadonlySet<number>,
    why: RevokeReason,
    works: readonly string[] = [],
  ): Promise<void> {
    const all = [...this.#given, ...works];
    const gone = new Set(all.filter((instance) => slots.has(slotOf(instance))));
    this.#held = new Set([...this.#held].filter((slot) => !slots.has(slot)));
    this.#given = new Set([...this.#given].filter((instance) => !gone.has(instance)));
    if (gone.size === 0) return;
    const { revokeMsMax = REVOKE_MS_MAX, onRevoked, group } = this.#options;
    const { clock, logger } = this.#ports;
    const done = new AbortController();
    const late = clock.sleep(revokeMsMax, done.signal).then(
      () => logger.warn('work is not given up in time', { group, waitedMs: revokeMsMax }),
      () => undefined,
    );
    const work = this.#call('given up', () => onRevoked([...gone].sort(), why));
    await Promise.race([work, late]);
    done.abort();
  }

  async #take(slots: ReadonlySet<number>): Promise<void> {
    this.#held = slots;
    this.#yielded = new Set([...this.#yielded].filter((slot) => !slots.has(slot)));
    const now = new Set(this.#instances.filter((instance) => slots.has(slotOf(instance))));
    const dropped = [...this.#given].filter((instance) => !now.has(instance));
    const added = [...now].filter((instance) => !this.#given.has(instance));
    this.#given = now;
    const { onAssigned, onRevoked } = this.#options;
    if (dropped.length > 0) {
      await this.#call('given up', () => onRevoked(dropped.sort(), 'moved'));
    }
    if (added.length > 0) void this.#call('begun', () => onAssigned(added.sort()));
  }

  async #call(what: string, work: () => Promise<void> | void): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#ports.logger.error(`work of the group was not ${what}`, {
        group: this.#options.group,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }
}

/** Asked again after a wait: it may be true now. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}
