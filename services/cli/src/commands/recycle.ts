import type { Json, RecycledInstance } from '@tidemark/control';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { formatSecond } from '../time.ts';
import { cliActor } from './cli-actor.ts';
import { checkTarget, cloneText, targetRequest, type TargetFlags } from './clone.ts';
import { controlOf, runJob } from './run-job.ts';
import { typedConfirmation } from './typed-confirmation.ts';

/** Flags of `recycle rebuild` as commander gives them. */
export interface RebuildFlags extends TargetFlags {
  readonly register: boolean;
}

/** Releases an instance into the recycle bin. */
export async function recycleNode(id: string, invocation: Invocation): Promise<void> {
  await using control = await controlOf(invocation);
  const recycled = await control.recycle.put(id, cliActor(), invocation.signal);
  invocation.printer.result(documentOf(recycled), () => [
    `${id} is no longer captured; all of it is kept until ${secondOf(recycled.untilMs)}`,
    `to have it back: tidemark recycle rebuild ${id} --to local`,
  ]);
}

/** Lists the recycle bin. */
export async function listRecycled(invocation: Invocation): Promise<void> {
  await using control = await controlOf(invocation);
  const found = await control.recycle.list(invocation.signal);
  invocation.printer.result({ recycled: found.map(documentOf) }, () =>
    found.length === 0
      ? ['the recycle bin is empty']
      : table(
          ['INSTANCE', 'STATE', 'SINCE (UTC)', 'KEPT UNTIL (UTC)', 'BY', 'NODE', 'REBUILT INTO'],
          found.map(({ instance, state, sinceMs, untilMs, goneMs, by, node, rebuilds }) => [
            // The keys of one that was destroyed are gone: nothing of it can be had back until then.
            ...[instance, state, secondOf(sinceMs), goneMs === null ? secondOf(untilMs) : '-'],
            ...[by, node?.url ?? '-'],
            rebuilds.map(({ into, job }) => into ?? job).join(' ') || '-',
          ]),
        ),
  );
}

/** Makes a new instance of one in the bin. */
export async function rebuildCommand(
  id: string,
  flags: RebuildFlags,
  invocation: Invocation,
): Promise<void> {
  checkTarget(flags);
  await using control = await controlOf(invocation);
  const request = { ...(await targetRequest(flags, control)), register: flags.register } as Json;
  const order = { kind: 'rebuild', instance: id, request, detach: flags.detach === true } as const;
  await runJob(order, control, invocation, (job) => cloneText(job, invocation.configPath));
}

/** Destroys an instance of the bin. */
export async function destroyCommand(
  id: string,
  flags: { readonly confirm?: string },
  invocation: Invocation,
): Promise<void> {
  const { signal, printer } = invocation;
  await using control = await controlOf(invocation);
  await control.recycle.get(id, signal);
  const doom = `everything of ${id} will be unreadable for ever`;
  await typedConfirmation(id, doom, flags.confirm, { signal, undone: 'nothing was destroyed' });
  const gone = await control.recycle.destroy(id, id, cliActor(), signal);
  printer.result(documentOf(gone), () => [
    `the keys of ${id} are destroyed; its objects go after ${secondOf(gone.goneMs ?? 0)}`,
  ]);
}

function documentOf(recycled: RecycledInstance): { readonly [name: string]: unknown } {
  const { sinceMs, untilMs, goneMs, rebuilds, ...rest } = recycled;
  return {
    ...rest,
    since: secondOf(sinceMs),
    until: secondOf(untilMs),
    gone: goneMs === null ? null : secondOf(goneMs),
    rebuilds: rebuilds.map(({ into, job, atMs }) => ({ into, job, at: secondOf(atMs) })),
  };
}

const secondOf = (ms: number): string => formatSecond(Math.floor(ms / 1000));
