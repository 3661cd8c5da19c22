import { POLICY_DAYS, type BackupPolicy } from '@tidemark/catalog';
import {
  policyDocument,
  type Control,
  type Job,
  type PolicyRun,
  type PolicyView,
} from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { parseDuration } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { formatSecond } from '../time.ts';
import { cliActor } from './cli-actor.ts';
import { controlOf, runJob } from './run-job.ts';
import { typedConfirmation } from './typed-confirmation.ts';

const COUNT_MAX = 500;
const RUNS_SHOWN = 3;

/** What `policy set` can set: the flag, and the field of the policy. */
const SETTINGS = [
  ['days', '--days', 'days'],
  ['hours', '--hours', 'hours'],
  ['timeZone', '--time-zone', 'timeZone'],
  ['retain', '--retain', 'retainSeconds'],
  ['keepLast', '--keep-last', 'keepLast'],
  ['flashback', '--flashback', 'flashback'],
] as const satisfies readonly (readonly [keyof PolicyFlags, string, keyof BackupPolicy])[];

const ORDINALS = ['the first', 'the second', 'the third'];

/** Flags of `policy set` as commander gives them. */
export interface PolicyFlags {
  readonly days?: string;
  readonly hours?: string;
  readonly timeZone?: string;
  readonly retain?: string;
  readonly keepLast?: string;
  readonly flashback?: 'on' | 'off';
  readonly ifMatch?: string;
  readonly confirm?: string;
}

/** Shows the policy of an instance; the document is that of the API. */
export async function showPolicy(id: string, invocation: Invocation): Promise<void> {
  await using control = await controlOf(invocation);
  await print(await control.policy.get(id), control, invocation);
}

/** Sets what flags say of the policy of an instance. */
export async function setPolicy(
  id: string,
  flags: PolicyFlags,
  invocation: Invocation,
): Promise<void> {
  if (!SETTINGS.some(([name]) => flags[name] !== undefined)) {
    throw new UsageError('TM_USAGE', 'say what is to be set', {
      hint: `${SETTINGS.map(([, flag]) => flag).join(', ')}; what there is: tidemark policy show ${id}`,
    });
  }
  await using control = await controlOf(invocation);
  const view = await control.policy.get(id);
  const policy = changed(view.policy, flags);
  if (view.policy.flashback && policy.flashback === false) {
    await typedConfirmation(
      id,
      `the window of ${id} ends, and no second after it can be restored until flashback is on again`,
      flags.confirm,
      { signal: invocation.signal, undone: 'the policy is as it was' },
    );
  }
  const options = { actor: cliActor(), ifMatch: flags.ifMatch ?? view.etag };
  const set = await control.policy.set(id, policy, options).catch((cause: unknown): never => {
    throw namingFlags(cause);
  });
  await print(set, control, invocation);
}

/** A fault of a policy says where in the document it is: here that is a flag. */
export function namingFlags(cause: unknown): unknown {
  if (!(cause instanceof UsageError) || cause.code !== 'TM_POLICY') return cause;
  const { context, hint } = cause;
  const message = SETTINGS.reduce(
    (text, [, flag, field]) =>
      text.replaceAll(
        new RegExp(`(^|; )/${field}(?:/(\\d+))?: `, 'g'),
        (_, before: string, index?: string) =>
          index === undefined
            ? `${before}${flag}: `
            : `${before}${flag}, ${ORDINALS[Number(index)] ?? `number ${(Number(index) + 1).toString()}`}: `,
      ),
    cause.message,
  );
  return new UsageError('TM_POLICY', message, {
    ...{ cause, context },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Shows the coming runs. */
export async function showNext(id: string, count: string, invocation: Invocation): Promise<void> {
  await using control = await controlOf(invocation);
  const runs = await control.policy.next(id, countOf(count));
  const { timeZone } = (await control.policy.get(id)).policy;
  const document = {
    ...{ instance: id, timeZone },
    runs: runs.map(({ dueMs, beginMs }) => ({ due: iso(dueMs), begin: iso(beginMs) })),
  };
  invocation.printer.result(document, () =>
    table(
      [`DUE (${timeZone})`, 'DUE (UTC)', 'BEGINS (UTC)'],
      runs.map(({ dueMs, beginMs }) => [wallTime(dueMs, timeZone), iso(dueMs), iso(beginMs)]),
    ),
  );
}

/** Shows what became of past runs. */
export async function showRuns(id: string, count: string, invocation: Invocation): Promise<void> {
  await using control = await controlOf(invocation);
  await control.policy.get(id);
  const runs = control.policy.runs(id, countOf(count));
  invocation.printer.result({ instance: id, runs: runs.map(runDocument) }, () =>
    runs.length === 0
      ? ['no run was due yet, that this host knows of']
      : table(
          ['DUE (UTC)', 'STATE', 'JOB', 'WHY'],
          runs.map(({ dueMs, state, job, reason }) => [iso(dueMs), state, job ?? '-', reason]),
        ),
  );
}

/** Makes the backup of the policy now. */
export async function runPolicyNow(
  id: string,
  detach: boolean,
  invocation: Invocation,
): Promise<void> {
  await using control = await controlOf(invocation);
  await control.policy.get(id);
  const order = { kind: 'backup', instance: id, request: { mode: 'automated' }, detach } as const;
  await runJob(order, control, invocation, madeText);
}

function madeText({ instance, result }: Job): readonly string[] {
  const made = result as { readonly backup?: string } | null;
  return [`${instance}: ${made?.backup ?? 'the backup'} is complete`];
}

async function print(view: PolicyView, control: Control, invocation: Invocation): Promise<void> {
  const document = { ...(await policyDocument(view, control.policy)), etag: view.etag };
  invocation.printer.result(document, () => viewText(view, control));
}

function viewText(view: PolicyView, { policy: desk }: Control): readonly string[] {
  const { instance, policy, source, setBy, setMs, nextBackupMs } = view;
  const { days, hours, timeZone, retainSeconds, keepLast, flashback } = policy;
  const who = source === 'host' ? 'the configuration of this host' : (setBy ?? 'nobody knows who');
  const when = setMs === null ? '' : ` at ${iso(setMs)}`;
  const last = desk.runs(instance, RUNS_SHOWN);
  return [
    `${instance}: backups ${days.length === 7 ? 'every day' : days.join(', ')} at ${hours.join(', ')}, ${timeZone}`,
    `kept: ${durationOf(retainSeconds)}, and the newest ${keepLast.toString()} however old`,
    flashback
      ? 'flashback: on, to any second that is kept'
      : 'flashback: off, only backups can be restored',
    `set by: ${who}${when}`,
    nextBackupMs === null
      ? `next backup: this host does not know the zone ${timeZone}`
      : `next backup: ${iso(nextBackupMs)} (${wallTime(nextBackupMs, timeZone)} ${timeZone})`,
    ...last.map(
      ({ dueMs, state, reason }) =>
        `run of ${iso(dueMs)}: ${state}${reason === '' ? '' : `, ${reason}`}`,
    ),
  ];
}

function runDocument({ dueMs, state, job, reason, atMs }: PolicyRun): object {
  return { due: iso(dueMs), state, job, reason, notedAt: iso(atMs) };
}

function changed(policy: BackupPolicy, flags: PolicyFlags): BackupPolicy {
  const { days, hours, timeZone, retain, keepLast, flashback } = flags;
  return {
    ...policy,
    ...(days === undefined ? {} : { days: daysOf(days) }),
    ...(hours === undefined ? {} : { hours: listOf(hours) }),
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(retain === undefined
      ? {}
      : { retainSeconds: Math.ceil(parseDuration(retain, '--retain') / 1000) }),
    ...(keepLast === undefined ? {} : { keepLast: numberOf(keepLast, '--keep-last') }),
    ...(flashback === undefined ? {} : { flashback: flashback === 'on' }),
  };
}

function daysOf(text: string): BackupPolicy['days'] {
  if (text === 'all') return POLICY_DAYS;
  // Those that are none are told by the policy itself.
  return listOf(text.toLowerCase()) as BackupPolicy['days'];
}

function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}

function countOf(text: string): number {
  const count = numberOf(text, '--count');
  if (count >= 1 && count <= COUNT_MAX) return count;
  throw new UsageError('TM_USAGE', `--count ${text} is not 1 to ${COUNT_MAX.toString()}`);
}

function numberOf(text: string, name: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError('TM_USAGE', `${name} ${JSON.stringify(text)} is not a number`);
}

/** What a clock in the zone shows; a zone that is not known here shows UTC. */
function wallTime(ms: number, timeZone: string): string {
  const shown = { weekday: 'short', hourCycle: 'h23', hour: '2-digit', minute: '2-digit' } as const;
  const day = { year: 'numeric', month: '2-digit', day: '2-digit' } as const;
  const format = new Intl.DateTimeFormat('en-GB', { timeZone, ...shown, ...day });
  const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  const { weekday = '', year = '', month = '', day: date = '', hour = '', minute = '' } = part;
  return `${weekday} ${year}-${month}-${date} ${hour}:${minute}`;
}

function durationOf(seconds: number): string {
  const units = [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'm'],
  ] as const;
  const [size, unit] = units.find(([each]) => seconds % each === 0) ?? [1, 's'];
  return `${(seconds / size).toString()}${unit}`;
}

function iso(ms: number): string {
  return formatSecond(Math.floor(ms / 1000));
}
