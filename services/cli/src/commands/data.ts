import type { ClearReport, Job, PurgeReport } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { controlOf, runJob } from './run-job.ts';
import { typedConfirmation } from './typed-confirmation.ts';

/** Keys that are looked at in a second. */
const RATE_MIN = 100;
const RATE_MAX = 1_000_000;

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
    return [`${id}: removed: ${countOf(keys, 'key')}`, ...back];
  });
}

/** Has the node remove keys that have expired. */
export async function purgeExpired(
  id: string,
  flags: { readonly rate: string; readonly detach?: boolean },
  invocation: Invocation,
): Promise<void> {
  const keysPerSecond = Number(flags.rate);
  if (!Number.isInteger(keysPerSecond) || keysPerSecond < RATE_MIN || keysPerSecond > RATE_MAX) {
    const range = `${RATE_MIN.toString()} to ${RATE_MAX.toString()}`;
    throw new UsageError('TM_USAGE', `--rate ${flags.rate} is not a number of keys from ${range}`);
  }
  await using control = await controlOf(invocation);
  const request = { keysPerSecond };
  const order = {
    kind: 'purge-expired',
    instance: id,
    request,
    detach: flags.detach === true,
  } as const;
  await runJob(order, control, invocation, ({ result }: Job) => {
    const { purged, keys } = result as unknown as PurgeReport;
    return [`${id}: removed: ${countOf(purged, 'expired key')}; left: ${countOf(keys, 'key')}`];
  });
}
