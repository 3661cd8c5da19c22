import type { ClearReport, Job, PurgeReport } from '@tidemark/control';
import type { Invocation } from '../invocation.ts';
import { controlOf, runJob } from './run-job.ts';
import { typedConfirmation } from './typed-confirmation.ts';

/** Makes a backup of the node, verifies it, and removes all of its data. */
export async function clearData(
  id: string,
  flags: { readonly confirm?: string; readonly backup: boolean; readonly detach?: boolean },
  invocation: Invocation,
): Promise<void> {
  const { signal } = invocation;
  const before = flags.backup ? 'after a verified backup' : 'WITHOUT a backup';
  const doom = `all data of the running node of ${id} will be removed ${before}`;
  await typedConfirmation(id, doom, flags.confirm, { signal, undone: 'nothing was cleared' });
  await using control = await controlOf(invocation);
  const request = { confirm: id, backup: flags.backup };
  const order = {
    kind: 'clear-data',
    instance: id,
    request,
    detach: flags.detach === true,
  } as const;
  await runJob(order, control, invocation, ({ result }: Job) => {
    const { backup, keys } = result as unknown as ClearReport;
    const back =
      backup === null
        ? []
        : [`to have them back: tidemark restore ${id} --backup ${backup} --to …`];
    return [`${id}: ${keys.toString()} keys were removed`, ...back];
  });
}

/** Has the node remove keys that have expired. */
export async function purgeExpired(
  id: string,
  flags: { readonly rate: string; readonly detach?: boolean },
  invocation: Invocation,
): Promise<void> {
  await using control = await controlOf(invocation);
  const request = { keysPerSecond: Number(flags.rate) };
  const order = {
    kind: 'purge-expired',
    instance: id,
    request,
    detach: flags.detach === true,
  } as const;
  await runJob(order, control, invocation, ({ result }: Job) => {
    const { purged, keys } = result as unknown as PurgeReport;
    return [
      `${id}: ${purged.toString()} expired keys were removed, ${keys.toString()} keys are left`,
    ];
  });
}
