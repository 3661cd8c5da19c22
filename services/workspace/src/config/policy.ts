import { POLICY_DAYS, policyFaults, type BackupPolicy } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import type { ConfigFile } from './schema.ts';
import { parseDuration } from './units.ts';

const EVERY_DAY_AT = ['03:00Z-04:00Z'];
const SPREAD_MS_MAX = 12 * 3_600_000;

/** `[policy]`: what holds for instances that have no policy of their own. */
export interface PolicySettings {
  readonly policy: Required<BackupPolicy>;
  /** Runs of one time begin within so many milliseconds of it, each instance at its own. */
  readonly spreadMs: number;
}

/** @throws UsageError `TM_CONFIG` that names the setting. */
export function policySettings(file: ConfigFile['policy'] = {}): PolicySettings {
  const retainMs = parseDuration(file.retain ?? '7d', 'policy.retain');
  const timeZone = file.time_zone ?? 'UTC';
  const policy: Required<BackupPolicy> = {
    days: (file.days ?? POLICY_DAYS) as BackupPolicy['days'],
    hours: file.hours ?? (timeZone === 'UTC' ? EVERY_DAY_AT : ['03:00']),
    retainSeconds: Math.max(1, Math.ceil(retainMs / 1000)),
    timeZone,
    keepLast: file.keep_last ?? 1,
    flashback: file.flashback ?? true,
  };
  const [fault] = policyFaults(policy);
  if (fault !== undefined) {
    const name = SETTING[fault.pointer.split('/')[1] ?? ''] ?? 'policy';
    throw new UsageError('TM_CONFIG', `${name}: ${fault.message}`);
  }
  const spreadMs = parseDuration(file.spread ?? '10m', 'policy.spread');
  if (spreadMs > SPREAD_MS_MAX) throw new UsageError('TM_CONFIG', 'policy.spread is over 12h');
  return { policy, spreadMs };
}

const SETTING: Readonly<Record<string, string>> = {
  days: 'policy.days',
  hours: 'policy.hours',
  retainSeconds: 'policy.retain',
  timeZone: 'policy.time_zone',
  keepLast: 'policy.keep_last',
};
