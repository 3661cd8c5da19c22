import { UsageError } from '@tidemark/core';

/** How much may go to a server in a second; null = no limit of that kind. */
export interface RateLimit {
  readonly commandsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
}

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
const RATE_MAX = 1e12;

/**
 * Reads a limit such as `5000ops`, `20MB/s` or both, `5000ops,20MB/s`.
 * @throws UsageError `TM_USAGE` when it is none.
 */
export function parseRateLimit(text: string): RateLimit {
  let commandsPerSecond: number | null = null;
  let bytesPerSecond: number | null = null;
  for (const part of text.split(/[,|]/)) {
    const [, digits, unit = ''] = /^(\d{1,12})([A-Za-z/]+)$/.exec(part.trim()) ?? [];
    const count = Number(digits);
    if (/^ops(\/s)?$/.test(unit) && count > 0 && commandsPerSecond === null) {
      commandsPerSecond = count;
      continue;
    }
    const bytes = count * (UNITS[unit.replace(/\/s$/, '')] ?? NaN);
    if (!(bytes > 0 && bytes <= RATE_MAX) || bytesPerSecond !== null) throw refused(text);
    bytesPerSecond = bytes;
  }
  return { commandsPerSecond, bytesPerSecond };
}

function refused(text: string): UsageError {
  return new UsageError('TM_USAGE', `${JSON.stringify(text)} is not a rate limit`, {
    hint: 'write 5000ops, 20MB/s or 5000ops,20MB/s',
  });
}
