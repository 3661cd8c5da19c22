import { OWNER_HEARTBEATS, type WriterState } from '@tidemark/catalog';
import type { Clock, Random } from '@tidemark/core';

/** Between two looks at the log of another owner, and after the first minute. Milliseconds. */
const LOOK_MS = 1_000;
const LATER_LOOK_MS = 5_000;
const SOON_MS = 60_000;

/** A log that is waited for. */
export interface WatchedLog {
  readonly state: WriterState;
  catchUp(): Promise<void>;
}

/** How a log is waited for. */
export interface UntilFreeOptions {
  readonly ownerId: string;
  readonly heartbeatMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Called when it has to be waited for, with its owner. */
  readonly onWaiting: (ownerId: string) => void;
}

/**
 * Waits until a log may be claimed: nobody owns it, it was released, or its owner shows no life.
 *
 * An owner counts as gone when its last entry is older than three heartbeats by the clocks of both
 * hosts and one heartbeat passed before our eyes without another entry. Where the clocks do not
 * agree, as an entry shows that is that old when it comes, three heartbeats without an entry, as we
 * see them, are enough, and needed.
 * @returns Whether an owner that did not release it is to be deposed.
 * @throws As `WriterLog.catchUp`; the signal's reason.
 */
export async function untilFree(log: WatchedLog, options: UntilFreeOptions): Promise<boolean> {
  const { ownerId, heartbeatMs, clock, random, signal, onWaiting } = options;
  const limitMs = OWNER_HEARTBEATS * heartbeatMs;
  const beganMs = clock.monotonicMs();
  let seen = log.state.seq;
  let seenMs = beganMs;
  let told = false;
  // An entry that is old when it comes shows that the clocks differ, and ages then say nothing.
  let clocksDiffer = false;
  for (let isFirst = true; ; isFirst = false) {
    signal.throwIfAborted();
    await log.catchUp();
    const { owner, lastEntryMs, seq } = log.state;
    if (owner === null || owner.released || owner.ownerId === ownerId) return false;
    const nowMs = clock.monotonicMs();
    const ageMs = clock.nowMs() - (lastEntryMs ?? 0);
    if (seq !== seen) {
      // What came before the first look may have lain there for long.
      clocksDiffer ||= !isFirst && ageMs >= limitMs;
      [seen, seenMs] = [seq, nowMs];
    }
    const silentMs = nowMs - seenMs;
    const isOld = ageMs >= limitMs && !clocksDiffer;
    if (silentMs >= limitMs || (isOld && silentMs > heartbeatMs * 1.2)) return true;
    if (!told) onWaiting(owner.ownerId);
    told = true;
    const lookMs = nowMs - beganMs < SOON_MS ? LOOK_MS : LATER_LOOK_MS;
    // Several that wait for the same log do not all look at the same moment.
    await clock.sleep(lookMs * (0.75 + (random.bytes(1)[0] ?? 0) / 512), signal);
  }
}
