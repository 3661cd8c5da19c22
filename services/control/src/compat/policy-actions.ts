import { UsageError } from '@tidemark/core';
import { formatSecond } from '@tidemark/workspace';
import type { BackupPolicy } from '@tidemark/catalog';
import { requirePolicyScope } from '../api/routes/policy-document.ts';
import type { CompatAction } from './compat-action.ts';
import { invalid } from './compat-params.ts';

const DAYS: readonly (readonly [BackupPolicy['days'][number], string])[] = [
  ['mon', 'Monday'],
  ['tue', 'Tuesday'],
  ['wed', 'Wednesday'],
  ['thu', 'Thursday'],
  ['fri', 'Friday'],
  ['sat', 'Saturday'],
  ['sun', 'Sunday'],
];
const DAY_SECONDS = 86_400;

/** `DescribeBackupPolicy`. */
export const describeBackupPolicy: CompatAction = {
  scope: 'read',
  params: ['InstanceId'],
  run: async ({ params, control }) => {
    const { policy, nextBackupMs } = await control.policy.get(params.instance());
    const { days, hours, retainSeconds, flashback } = policy;
    const names = DAYS.filter(([day]) => days.includes(day)).map(([, name]) => name);
    return {
      PreferredBackupPeriod: names.join(','),
      PreferredBackupTime: hours.join(','),
      BackupRetentionPeriod: Math.floor(retainSeconds / DAY_SECONDS).toString(),
      PreferredNextBackupTime:
        nextBackupMs === null ? '' : formatSecond(Math.floor(nextBackupMs / 1000)),
      EnableBackupLog: flashback ? 1 : 0,
    };
  },
};

/** `ModifyBackupPolicy`: what is left out stays as it is. */
export const modifyBackupPolicy: CompatAction = {
  scope: 'backup',
  params: [
    ...['InstanceId', 'PreferredBackupPeriod', 'PreferredBackupTime', 'BackupRetentionPeriod'],
    ...['EnableBackupLog'],
  ],
  run: async ({ params, control: { policy: desk }, actor, scopes }) => {
    const instance = params.instance();
    const { policy, etag } = await desk.get(instance);
    const period = params.text('PreferredBackupPeriod');
    const time = params.text('PreferredBackupTime');
    const log = params.oneOf('EnableBackupLog', ['0', '1']);
    const retain = params.text('BackupRetentionPeriod');
    const days = params.count('BackupRetentionPeriod', 1, 36_500);
    const wanted: BackupPolicy = {
      ...policy,
      ...(period === undefined ? {} : { days: daysOf(period) }),
      ...(time === undefined ? {} : { hours: time.split(',') }),
      ...(retain === undefined ? {} : { retainSeconds: days * DAY_SECONDS }),
      ...(log === undefined ? {} : { flashback: log === '1' }),
    };
    requirePolicyScope({ actor, scopes }, policy, wanted);
    try {
      await desk.set(instance, wanted, { actor, ifMatch: etag });
    } catch (cause) {
      if (!(cause instanceof UsageError) || cause.code !== 'TM_POLICY') throw cause;
      throw invalid('the policy', `cannot be meant: ${cause.message}`);
    }
    return {};
  },
};

function daysOf(text: string): BackupPolicy['days'] {
  const names = text.split(',');
  const days = DAYS.filter(([, name]) => names.includes(name)).map(([day]) => day);
  if (days.length === names.length) return days;
  throw invalid('PreferredBackupPeriod', 'is not a list such as Monday,Friday');
}
