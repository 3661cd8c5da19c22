import { Cron } from 'croner';
import type { BackupPolicy } from '@tidemark/catalog';

/** No time of a week is farther from now than this, in milliseconds: eight days, and a change of clocks. */
const WEEK_MS = 9 * 86_400_000;
/** Runs that are asked for at one time. */
const RUNS_MAX = 1000;

/**
 * When the runs of a policy are due; instants are Unix milliseconds, whole seconds of them.
 *
 * A time that a day leaves out, because clocks go forward, is due at the first instant after the gap;
 * one that comes twice is due the first time; a day that a zone leaves out altogether has no runs.
 * Times that fall together are one run.
 */
export class Timetable {
  /** One of each start: a cron expression alone knows only every hour with every minute. */
  readonly #starts: readonly Cron[];
  /** Length of the shortest span, in milliseconds; Infinity where only times are named. */
  readonly spanMs: number;

  /** @throws RangeError for a zone that is not known here. */
  constructor({ days, hours, timeZone = 'UTC' }: BackupPolicy) {
    new Intl.DateTimeFormat('en', { timeZone }); // a zone that is not known is told now
    this.#starts = hours.map((hour) => {
      const [, hh = '', mm = '', isUtc] = /^(\d\d):(\d\d)(Z)?/.exec(hour) ?? [];
      const pattern = `0 ${Number(mm)} ${Number(hh)} * * ${days.join(',')}`;
      const timezone = isUtc === undefined ? timeZone : 'UTC';
      return new Cron(pattern, { timezone, paused: true });
    });
    this.spanMs = Math.min(...hours.map(spanOf));
  }

  /** The first run after an instant; null for a policy without any. */
  next(afterMs: number): number | null {
    const after = new Date(afterMs);
    const runs = this.#starts.flatMap((start) => start.nextRun(after)?.getTime() ?? []);
    return runs.length === 0 ? null : Math.min(...runs);
  }

  /** The first runs after an instant, in order. */
  coming(afterMs: number, count: number): readonly number[] {
    const runs: number[] = [];
    for (let at = this.next(afterMs); at !== null && runs.length < count; at = this.next(at)) {
      runs.push(at);
      if (runs.length >= RUNS_MAX) break;
    }
    return runs;
  }

  /** The newest run at or before an instant; null for a policy without any. */
  last(atMs: number): number | null {
    const runs = this.#starts.flatMap((start) => lastOf(start, atMs) ?? []);
    return runs.length === 0 ? null : Math.max(...runs);
  }

  /** The newest runs after one instant and not after another, in order. */
  between(afterMs: number, toMs: number, max: number): readonly number[] {
    const runs: number[] = [];
    for (let at = this.last(toMs); at !== null && at > afterMs; at = this.last(at - 1)) {
      runs.unshift(at);
      if (runs.length >= max) break;
    }
    return runs;
  }
}

function lastOf(start: Cron, atMs: number): number | null {
  let found: number | null = null;
  let at = start.nextRun(new Date(atMs - WEEK_MS));
  while (at !== null && at.getTime() <= atMs) {
    found = at.getTime();
    at = start.nextRun(at);
  }
  return found;
}

/** Length of a span such as `23:00Z-01:00Z`, in milliseconds; Infinity for a time. */
function spanOf(hour: string): number {
  const [, fromH, fromM, toH, toM] = /^(\d\d):(\d\d)Z-(\d\d):(\d\d)Z$/.exec(hour) ?? [];
  if (fromH === undefined) return Infinity;
  const minutes = Number(toH) * 60 + Number(toM) - Number(fromH) * 60 - Number(fromM);
  return ((minutes + 1440) % 1440) * 60_000;
}
