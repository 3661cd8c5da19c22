import { UsageError } from '@tidemark/core';

/** A wanted point in time: a whole second, or whatever is the latest that is proven. */
export type WantedTime = { readonly second: number } | 'latest';

const WITH_OFFSET = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?$/;
const RELATIVE = /^-(\d{1,9})(s|m|h|d)$/;
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * Reads a time as people write it on the command line: RFC 3339 with an offset (`…Z`, `+08:00`),
 * `@unix`, `-15m` (before now), or `latest`.
 * @param nowMs - Unix milliseconds that `-15m` counts from.
 * @throws UsageError `TM_TIME_SYNTAX`: no offset, a fraction of a second, or not a time at all.
 */
export function parseTime(text: string, nowMs: number): WantedTime {
  if (text === 'latest') return 'latest';
  const unix = /^@(\d{1,12})$/.exec(text);
  if (unix !== null) return { second: Number(unix[1]) };
  const [, amount, unit] = RELATIVE.exec(text) ?? [];
  if (amount !== undefined && unit !== undefined) {
    const second = Math.floor(nowMs / 1000) - Number(amount) * (UNIT_SECONDS[unit] ?? 0);
    if (second < 0) throw syntax(text, 'lies before 1970', 'there was no Redis then');
    return { second };
  }
  return { second: parseRfc3339(text, nowMs) };
}

function parseRfc3339(text: string, nowMs: number): number {
  const match = WITH_OFFSET.exec(text);
  if (match === null) {
    throw syntax(
      text,
      'is not a time',
      `now is ${ways(nowMs)}: write it so, or -15m (before now), or latest`,
    );
  }
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  if (fraction !== undefined) {
    throw syntax(text, 'has a fraction of a second', 'Tidemark restores to whole seconds');
  }
  if (zone === undefined) {
    throw syntax(
      text,
      'has no offset from UTC',
      `write ${text}Z for UTC, or ${hostZone(text) ?? 'an offset such as +08:00'}`,
    );
  }
  const millis = Date.parse(
    `${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`,
  );
  const echo = new Date(millis + zoneMinutes(zone) * 60_000);
  // Date.parse takes 31 February for 3 March; the fields must come back as they were written.
  const same =
    !Number.isNaN(millis) &&
    echo.getUTCDate() === Number(day) &&
    echo.getUTCHours() === Number(hour) &&
    echo.getUTCMonth() + 1 === Number(month);
  if (!same) throw syntax(text, 'is not a time of the calendar', 'check day, month and hour');
  return millis / 1000;
}

/** A time in the forms that are taken; on a host whose clock shows another zone also as it is there. */
function ways(ms: number): string {
  const second = Math.floor(ms / 1000);
  const minutes = -new Date(ms).getTimezoneOffset();
  const wall = formatSecond(second + minutes * 60).replace('Z', zoneText(minutes));
  const local = minutes === 0 ? [] : [wall];
  return [formatSecond(second), ...local, `@${second.toString()}`].join(' or ');
}

/** The time of the clock of this host with its offset; null: that is UTC, or there is no such time. */
function hostZone(text: string): string | null {
  const minutes = -new Date(text.replace(/[t ]/, 'T')).getTimezoneOffset();
  if (minutes === 0 || Number.isNaN(minutes)) return null;
  return `${text}${zoneText(minutes)} for the clock of this host`;
}

function zoneText(minutes: number): string {
  const two = (n: number): string => n.toString().padStart(2, '0');
  const all = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(all / 60))}:${two(all % 60)}`;
}

function zoneMinutes(zone: string): number {
  if (/^z$/i.test(zone)) return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  return sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6)));
}

function syntax(text: string, what: string, hint: string): UsageError {
  return new UsageError('TM_TIME_SYNTAX', `${JSON.stringify(text)} ${what}`, { hint });
}

/** A whole second as RFC 3339 in UTC, e.g. `2026-11-19T11:02:10Z`. */
export function formatSecond(second: number): string {
  return new Date(second * 1000).toISOString().replace('.000Z', 'Z');
}
