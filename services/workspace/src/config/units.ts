import { UsageError } from '@tidemark/core';

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};
const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Reads a size such as `8MiB`.
 * @param name - Name of the setting, for the message.
 * @returns Bytes.
 * @throws UsageError `TM_CONFIG` when it is not a size.
 */
export function parseSize(text: string, name: string): number {
  return parseUnits(text, name, SIZE_UNITS, 'a size such as 8MiB or 20GiB');
}

/**
 * Reads a duration such as `15s` or `7d`.
 * @param name - Name of the setting, for the message.
 * @returns Milliseconds.
 * @throws UsageError `TM_CONFIG` when it is not a duration.
 */
export function parseDuration(text: string, name: string): number {
  return parseUnits(text, name, DURATION_UNITS, 'a duration such as 500ms, 15s, 24h or 7d');
}

function parseUnits(
  text: string,
  name: string,
  units: Readonly<Record<string, number>>,
  wanted: string,
): number {
  const [, digits, unit] = /^(\d{1,12})([A-Za-z]+)$/.exec(text) ?? [];
  const factor = units[unit ?? ''];
  if (digits === undefined || factor === undefined) {
    throw new UsageError('TM_CONFIG', `${name} is not ${wanted}: ${JSON.stringify(text)}`);
  }
  return Number(digits) * factor;
}
