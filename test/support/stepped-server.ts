import { ClockWatch } from '../../services/archiver/src/capture/clock-watch.ts';
import type { TestArchive } from './test-archive.ts';

/** What happens to a simulated server in one tick. */
export interface Tick {
  /** Milliseconds by which its clock is set, before anything else. */
  readonly stepMs: number;
  /** Milliseconds that it stands still first, its clock going on: the host was paused. */
  readonly pauseMs: number;
  readonly restarts: boolean;
  /** Commands that run. */
  readonly units: number;
  /** Whether the archiver rolls at the end. */
  readonly rolls: boolean;
}

/** Milliseconds of a tick. */
export const TICK_MS = 250;

/** A back step of less is none: units belong to the latest second that was shown. */
const BACK_MS_MIN = 1_000;

interface Stretch {
  readonly seconds: Map<number, bigint>;
  /** Seconds jumped over, with the offset before the jump. */
  readonly jumped: Map<number, bigint>;
  latestMs: number;
}

/**
 * A server whose clock is set back and forth while commands run, captured into a test archive, and
 * beside it the plainest account of what each second means: for every stretch between steps back, the
 * offset after the last command that ran while the clock showed the second.
 */
export class SteppedServer {
  readonly #archive: TestArchive;
  readonly #annotated: boolean;
  readonly #watch = new ClockWatch();
  readonly #stretches: Stretch[] = [];
  /** Seconds at the edges of steps: their bounds may take in one second more. */
  readonly edges = new Set<number>();
  #wallMs: number;
  #monotonicMs = 10_000;
  #stamped = 0;
  #number = 0;

  constructor(archive: TestArchive, wallMs: number, annotated: boolean) {
    this.#archive = archive;
    this.#wallMs = wallMs;
    this.#annotated = annotated;
    this.#begin();
  }

  async run(ticks: readonly Tick[]): Promise<void> {
    for (const tick of ticks) await this.#tick(tick);
  }

  /** The present time of its clock, in whole seconds. */
  get second(): number {
    return Math.floor(this.#wallMs / 1000);
  }

  /** The offset at which each pass of a second ended; where none did, at which it was jumped over. */
  passes(second: number): readonly bigint[] {
    const ran = this.#stretches.flatMap(({ seconds }) => seconds.get(second) ?? []);
    if (ran.length > 0) return ran;
    return this.#stretches.flatMap(({ jumped }) => jumped.get(second) ?? []);
  }

  async #tick({ stepMs, pauseMs, restarts, units, rolls }: Tick): Promise<void> {
    this.#move(stepMs + pauseMs);
    if (restarts) this.#stamped = 0;
    const { writer } = this.#archive;
    const timeMs = this.#wallMs;
    const trip = { askedMs: this.#monotonicMs, answeredMs: this.#monotonicMs };
    const jump = this.#watch.see(timeMs, trip);
    const second = Math.floor(timeMs / 1000);
    this.#archive.sample(second, timeMs % 1000, jump === null ? [] : [jump]);
    for (let i = 0; i < units; i++) this.#write();
    this.#show();
    if (writer.stepDue || (rolls && writer.rawBytes > 0)) await this.#archive.roll();
    this.#monotonicMs += TICK_MS;
    this.#wallMs += TICK_MS;
  }

  #write(): void {
    const second = Math.floor(this.#wallMs / 1000);
    const stamps = this.#annotated && second > this.#stamped;
    if (stamps) this.#stamped = second;
    const command = ['SET', `key:${this.#number % 7}`, String(this.#number++)];
    this.#archive.write(...(stamps ? [`#TS:${second}`] : []), command);
  }

  #move(byMs: number): void {
    const stretch = this.#present;
    const before = Math.floor(stretch.latestMs / 1000);
    this.#wallMs += byMs;
    const after = Math.floor(this.#wallMs / 1000);
    if (byMs !== 0) {
      for (const edge of [before, after]) {
        for (const second of [edge - 1, edge, edge + 1]) this.edges.add(second);
      }
    }
    if (this.#wallMs <= stretch.latestMs - BACK_MS_MIN) {
      this.#begin();
      return;
    }
    for (let second = before + 1; second < after; second++) {
      stretch.jumped.set(second, this.#archive.end);
    }
  }

  /** Notes what the clock shows now, after the commands of the tick. */
  #show(): void {
    const stretch = this.#present;
    stretch.latestMs = Math.max(stretch.latestMs, this.#wallMs);
    stretch.seconds.set(Math.floor(stretch.latestMs / 1000), this.#archive.end);
  }

  #begin(): void {
    const seconds = new Map<number, bigint>();
    this.#stretches.push({ seconds, jumped: new Map(), latestMs: this.#wallMs });
  }

  get #present(): Stretch {
    return this.#stretches.at(-1)!;
  }
}
