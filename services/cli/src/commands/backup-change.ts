import {
  deleteBackup,
  findBackupDocuments,
  holdBackup,
  labelBackup,
  undeleteBackup,
  type Control,
  type DeletedBackup,
  type ListedBackup,
} from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';
import { cliActor } from './cli-actor.ts';
import { labelsText, readLabels } from './label-flags.ts';
import { controlOf } from './run-job.ts';
import { typedConfirmation } from './typed-confirmation.ts';

/** Flags of `backup delete`. */
export interface DeleteFlags {
  readonly dryRun?: boolean;
  readonly last?: boolean;
  readonly confirm?: string;
}

/** Shows one backup, a part for each shard. */
export async function showBackup(backup: string, invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  await workspace.sync(invocation.signal);
  print(findBackupDocuments(workspace.catalog, backup, { deleted: true }), invocation);
}

/** Puts labels to a backup, or takes them away. */
export async function changeLabels(
  backup: string,
  words: readonly string[],
  invocation: Invocation,
): Promise<void> {
  const change = readLabels(words, { takesAway: true });
  await changeBackup(backup, 'backup.label', invocation, async (instance, workspace) => {
    const { name } = cliActor();
    await labelBackup({ instance, backup }, change, name, workspace, portsOf(invocation));
  });
}

/** Holds a backup, or releases it. */
export async function changeHold(
  backup: string,
  hold: boolean,
  invocation: Invocation,
): Promise<void> {
  const action = hold ? 'backup.hold' : 'backup.release';
  await changeBackup(backup, action, invocation, async (_, workspace) => {
    await holdBackup(backup, hold, workspace, portsOf(invocation));
  });
}

/** Gives a backup up, and says what that frees and what stays restorable. */
export async function deleteCommand(
  backup: string,
  flags: DeleteFlags,
  invocation: Invocation,
): Promise<void> {
  await using control = await controlOf(invocation);
  const { workspace, audit } = control;
  const { signal, printer } = invocation;
  await workspace.sync(signal);
  const actor = cliActor();
  const options = { by: actor.name, last: flags.last === true };
  const ask = async (dryRun: boolean): Promise<DeletedBackup> =>
    deleteBackup(backup, { ...options, dryRun }, workspace, portsOf(invocation));
  const planned = await ask(true);
  if (flags.dryRun === true || planned.again) {
    printer.result(planned, () => deletedText(planned));
    return;
  }
  const doom = `backup ${backup} of ${planned.instance} will be given up`;
  await typedConfirmation(backup, doom, flags.confirm, {
    ...{ signal, undone: 'nothing was deleted', what: 'backup' },
  });
  const done = await ask(false);
  audit.append({
    ...{ actor, instance: done.instance, job: null },
    ...{ action: 'backup.delete', detail: backup },
  });
  printer.result(done, () => deletedText(done));
}

/** Takes the deletion of a backup back, and says whether it stays. */
export async function undeleteCommand(backup: string, invocation: Invocation): Promise<void> {
  await using control = await controlOf(invocation);
  const { workspace, audit } = control;
  const { signal, printer } = invocation;
  await workspace.sync(signal);
  const actor = cliActor();
  const done = await undeleteBackup(backup, actor.name, workspace, portsOf(invocation));
  const { instance, again, revoked, goesByAge } = done;
  if (!again) {
    audit.append({ actor, instance, job: null, action: 'backup.undelete', detail: backup });
  }
  printer.result(done, () => [
    again ? `${backup} of ${instance} is not deleted` : `${backup} of ${instance} is there again`,
    ...(revoked === null
      ? []
      : [`${revoked} of retention was taken back with it: the next run marks the rest anew`]),
    ...(goesByAge
      ? [
          `retention lets go of it for its age, as of others; to keep it: tidemark backup hold ${backup}`,
        ]
      : []),
  ]);
}

async function changeBackup(
  backup: string,
  action: string,
  invocation: Invocation,
  change: (instance: string, workspace: Control['workspace']) => Promise<void>,
): Promise<void> {
  await using control = await controlOf(invocation);
  const { workspace, audit } = control;
  await workspace.sync(invocation.signal);
  const [{ instance }] = findBackupDocuments(workspace.catalog, backup);
  await change(instance, workspace);
  audit.append({ actor: cliActor(), instance, job: null, action, detail: backup });
  await workspace.sync(invocation.signal, instance);
  print(findBackupDocuments(workspace.catalog, backup), invocation);
}

function portsOf({ signal }: Invocation): Parameters<typeof holdBackup>[3] {
  return { clock: systemClock, random: systemRandom, signal };
}

function print(shards: readonly [ListedBackup, ...ListedBackup[]], { printer }: Invocation): void {
  const [{ id, instance, labels, hold, deleted }] = shards;
  printer.result({ id, instance, shards }, () => [
    `${id} of ${instance}`,
    `labels: ${labelsText(labels)}`,
    ...(hold ? ['held: retention keeps it, and what follows it'] : []),
    ...(deleted === null ? [] : [`deleted by ${deleted.by} at ${deleted.at}`]),
    ...shards.map(
      ({ shard, state, mode, end, keys, size, from }) =>
        `shard ${shard}: ${state}, ${mode}, taken ${end}, ${countOf(keys, 'key')}, ` +
        `${formatBytes(size)} stored, serves from ${from}`,
    ),
  ]);
}

function deletedText(done: DeletedBackup): readonly string[] {
  const { backup, instance, dryRun, again, earliest, earliestAfter } = done;
  const lines = [
    dryRun && !again
      ? `${backup} of ${instance} would be given up: listed no more, the source of nothing new`
      : again
        ? `${backup} of ${instance} was deleted before`
        : `${backup} of ${instance} is deleted: listed no more, the source of nothing new`,
    freesText(done),
  ];
  if (earliest === null) lines.push('no second is restorable, with it or without it');
  else if (earliest === earliestAfter) {
    lines.push(`every second from ${earliest} on that is restorable now stays so`);
  } else {
    lines.push(
      `first restorable second: ${earliest} now, ${earliestAfter ?? 'none'} once retention has run`,
    );
  }
  return lines;
}

function freesText({ instance, size, frees, keptFor }: DeletedBackup): string {
  switch (keptFor) {
    case 'seconds':
      return `frees nothing yet: seconds that are kept, or somebody who reads, need its ${formatBytes(size)}; they go with those`;
    case 'share':
      return (
        `frees nothing yet: with its ${formatBytes(size)} goes history that is older than the retention, more than half of what is stored; ` +
        `tidemark expire ${instance} --force lets it go`
      );
    case null:
      return `frees ${formatBytes(frees.bytes)} in ${countOf(frees.objects, 'object')}: marked by the next run of retention, deleted after the grace`;
  }
}
