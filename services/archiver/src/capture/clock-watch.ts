/** A step of the server's clock between two samples. Times in Unix milliseconds. */
export interface ClockJump {
  readonly direction: 'back' | 'forward';
  /** The latest time that the clock may have shown before it. */
  readonly fromMs: number;
  /** The earliest time that it may have shown after it. */
  readonly toMs: number;
}

/** When a sample was asked for and answered, on the monotonic clock of this process. */
export interface RoundTrip {
  readonly askedMs: number;
  readonly answeredMs: number;
}

/**
 * A step below this is none: `NTP` corrects by less, and a second then is what it was. What a clock
 * may drift beside ours, and be slewed, is a thousandth at most of the time between two samples.
 */
const STEP_MS_MIN = 1_000;
const DRIFT = 1 / 1_000;

/**
 * Holds the server's clock against the monotonic one of this process, sample by sample.
 *
 * The server told its time some time between question and answer; a step is one only when no moment
 * within both round trips explains the difference.
 */
export class ClockWatch {
  #last: (RoundTrip & { readonly timeMs: number }) | null = null;

  /** @returns The step since the sample before, if there was one. */
  see(timeMs: number, trip: RoundTrip): ClockJump | null {
    const last = this.#last;
    this.#last = { timeMs, ...trip };
    if (last === null) return null;
    const least = trip.askedMs - last.answeredMs;
    const most = trip.answeredMs - last.askedMs;
    const passed = timeMs - last.timeMs;
    const tolerance = STEP_MS_MIN + most * DRIFT;
    const back = passed <= least - tolerance;
    if (!back && passed < most + tolerance) return null;
    return {
      direction: back ? 'back' : 'forward',
      fromMs: last.timeMs + Math.ceil(most),
      toMs: timeMs - Math.ceil(most),
    };
  }
}
