import type { BackupPolicy } from '../model/instance-events.ts';
import { KEEP_LAST_MAX } from '../model/instance-state.ts';

/** What is wrong with a policy, and where: a JSON pointer into it. */
export interface PolicyFault {
  readonly pointer: string;
  readonly message: string;
}

/** Days of the week, as policies name them. */
export const POLICY_DAYS: readonly BackupPolicy['days'][number][] = [
  'mon',
  'tue',
  'wed',
  'thu',
  'fri',
  'sat',
  'sun',
];
/** Times of a day that one policy may name. */
const HOURS_MAX = 24;
const RETAIN_SECONDS_MAX = 100 * 366 * 86_400;
const TIME = /^(?:[01]\d|2[0-3]):[0-5]\d$/;
const SPAN = /^((?:[01]\d|2[0-3]):[0-5]\d)Z-((?:[01]\d|2[0-3]):[0-5]\d)Z$/;

/** Zones in which a span in UTC says what it seems to say. */
const UTC: ReadonlySet<string> = new Set(['UTC', 'Etc/UTC']);

/** Everything that is wrong with a policy that somebody wants to set; empty = nothing. */
export function policyFaults(policy: BackupPolicy): readonly PolicyFault[] {
  const { days, hours, retainSeconds, timeZone = 'UTC', keepLast = 1, flashback = true } = policy;
  const faults: PolicyFault[] = [];
  const add = (pointer: string, message: string): number => faults.push({ pointer, message });
  if (days.length === 0) add('/days', 'no day of the week');
  days.forEach((day, index) => {
    if (!POLICY_DAYS.includes(day)) {
      add(`/days/${index}`, `not a day of the week: ${POLICY_DAYS.join(', ')}`);
    } else if (days.indexOf(day) !== index) add(`/days/${index}`, `${day} is named twice`);
  });
  if (hours.length === 0) add('/hours', 'no time of the day');
  if (hours.length > HOURS_MAX) add('/hours', `more than ${HOURS_MAX} times of the day`);
  hours.slice(0, HOURS_MAX).forEach((hour, index) => {
    const fault = hourFault(hour, timeZone);
    if (fault !== null) add(`/hours/${index}`, fault);
    else if (startOf(hour, hours.slice(0, index))) {
      add(`/hours/${index}`, `another one begins at ${hour.slice(0, 5)}`);
    }
  });
  if (!isZone(timeZone)) add('/timeZone', 'not a zone of the IANA database, such as Europe/Berlin');
  if (!isWhole(retainSeconds, RETAIN_SECONDS_MAX)) {
    add('/retainSeconds', `not a whole number of seconds from 1 to ${RETAIN_SECONDS_MAX}`);
  }
  if (!isWhole(keepLast, KEEP_LAST_MAX)) add('/keepLast', `not 1 to ${KEEP_LAST_MAX}`);
  if (typeof flashback !== 'boolean') add('/flashback', 'not true or false');
  return faults;
}

/** A policy with every field: what it leaves open is as the host has it. */
export function wholePolicy(
  policy: BackupPolicy,
  host: Pick<Required<BackupPolicy>, 'keepLast'>,
): Required<BackupPolicy> {
  return { timeZone: 'UTC', flashback: true, ...host, ...policy };
}

function hourFault(hour: string, timeZone: string): string | null {
  if (TIME.test(hour)) return null;
  const [, from, to] = SPAN.exec(hour) ?? [];
  if (from === undefined) return 'not a time such as 03:00, or a span in UTC such as 03:00Z-04:00Z';
  if (from === to) return 'a span without length';
  if (!UTC.has(timeZone)) return `a span in UTC in a policy of ${timeZone}: write ${from}`;
  return null;
}

/** Whether one of the others begins at the same time. */
function startOf(hour: string, others: readonly string[]): boolean {
  return others.some((other) => other.slice(0, 5) === hour.slice(0, 5));
}

function isWhole(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value <= max;
}

/** Whether this host knows the zone. An offset is none: it has no rules. */
function isZone(name: string): boolean {
  if (name.length > 64 || !/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
