import type { BackupPolicy } from '@tidemark/catalog';
import { formatSecond } from '@tidemark/workspace';
import { UsageError } from '@tidemark/core';
import type { PolicyDesk, PolicyView } from '../../policy/policy.ts';
import { requireScope } from '../auth.ts';
import { wrongField } from '../problem-types.ts';

const DAY_SECONDS = 86_400;
const RUNS_SHOWN = 3;

/** A policy as the API shows it; schema: `PolicySchema`. */
export interface PolicyDocument {
  readonly instance: string;
  readonly preferredBackupPeriod: BackupPolicy['days'];
  readonly preferredBackupTime: readonly string[];
  readonly timeZone: string;
  readonly retentionDays: number;
  readonly retentionSeconds: number;
  readonly keepLast: number;
  readonly flashbackEnabled: boolean;
  readonly source: PolicyView['source'];
  readonly setBy: string | null;
  readonly setAt: string | null;
  readonly nextBackupAt: string | null;
  readonly nextRuns: readonly string[];
}

/** A policy as it is sent; its shape was checked by the schema. */
export interface PolicyFields {
  readonly preferredBackupPeriod: BackupPolicy['days'];
  readonly preferredBackupTime: readonly string[];
  readonly timeZone?: string;
  readonly retentionDays?: number;
  readonly retentionSeconds?: number;
  readonly keepLast?: number;
  readonly flashbackEnabled?: boolean;
}

/** Where a field of a policy stands in a body. */
const POINTERS: Readonly<Record<string, string>> = {
  days: '/preferredBackupPeriod',
  hours: '/preferredBackupTime',
  timeZone: '/timeZone',
  retainSeconds: '/retentionSeconds',
  keepLast: '/keepLast',
};

/** A policy with its next runs. */
export async function policyDocument(view: PolicyView, desk: PolicyDesk): Promise<PolicyDocument> {
  const { instance, policy, source, setBy, setMs, nextBackupMs } = view;
  const { days, hours, timeZone, retainSeconds, keepLast, flashback } = policy;
  // Null: this host does not know the zone, so it knows no runs either.
  const runs = nextBackupMs === null ? [] : await desk.next(instance, RUNS_SHOWN);
  return {
    instance,
    preferredBackupPeriod: days,
    preferredBackupTime: hours,
    timeZone,
    retentionDays: Math.round((retainSeconds / DAY_SECONDS) * 100) / 100,
    retentionSeconds: retainSeconds,
    keepLast,
    flashbackEnabled: flashback,
    ...{ source, setBy, setAt: instant(setMs), nextBackupAt: instant(nextBackupMs) },
    nextRuns: runs.map(({ beginMs }) => formatSecond(Math.floor(beginMs / 1000))),
  };
}

/**
 * The policy that a body means; what it leaves out stays as it is.
 * @throws ApiProblem `validation`.
 */
export function policyOf(body: PolicyFields, { policy }: Pick<PolicyView, 'policy'>): BackupPolicy {
  const { retentionDays, retentionSeconds } = body;
  if (retentionDays !== undefined && retentionSeconds !== undefined) {
    throw wrongField('/retentionSeconds', 'retentionDays says it already');
  }
  const days = retentionDays === undefined ? undefined : retentionDays * DAY_SECONDS;
  return {
    ...policy,
    days: body.preferredBackupPeriod,
    hours: body.preferredBackupTime,
    timeZone: body.timeZone ?? policy.timeZone,
    retainSeconds: retentionSeconds ?? days ?? policy.retainSeconds,
    keepLast: body.keepLast ?? policy.keepLast,
    flashback: body.flashbackEnabled ?? policy.flashback,
  };
}

/**
 * Who keeps less history, or switches flashback, can lose what others rely on: that is for administrators.
 * @throws ApiProblem `forbidden`.
 */
export function requirePolicyScope(
  caller: Parameters<typeof requireScope>[0],
  before: BackupPolicy,
  after: BackupPolicy,
): void {
  const keepsLess =
    after.retainSeconds < before.retainSeconds || (after.keepLast ?? 0) < (before.keepLast ?? 0);
  const switches = (after.flashback ?? true) !== (before.flashback ?? true);
  if (keepsLess || switches) requireScope(caller, 'admin');
}

/**
 * Sets a policy; its refusal names the field of the body.
 * @throws As `PolicyDesk.set`; ApiProblem `validation`.
 */
export async function setPolicy(
  desk: PolicyDesk,
  ...[instance, policy, options]: Parameters<PolicyDesk['set']>
): Promise<PolicyView> {
  try {
    return await desk.set(instance, policy, options);
  } catch (cause) {
    if (!(cause instanceof UsageError) || cause.code !== 'TM_POLICY') throw cause;
    const [, field = ''] = String(cause.context['pointer'] ?? '').split('/');
    throw wrongField(POINTERS[field] ?? '', cause.message);
  }
}

function instant(ms: number | null): string | null {
  return ms === null ? null : formatSecond(Math.floor(ms / 1000));
}
