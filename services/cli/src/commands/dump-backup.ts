import { makeOneOffBackup, type OneOffBackup, type OneOffProgress } from '@tidemark/archiver';
import { isSafeName, UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { locateNode, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import type { Printer } from '../output/printer.ts';
import { formatBytes } from '../output/table.ts';
import { formatSecond } from '../time.ts';
import { copyGuard, dumpTarget, type NodeFlags } from './dump-node.ts';

/** Makes a sealed backup of a node in the store, over replication, as an instance that is not captured. */
export async function dumpBackup(
  instance: string,
  flags: NodeFlags,
  invocation: Invocation,
): Promise<void> {
  if (!isSafeName(instance)) {
    throw new UsageError('TM_USAGE', `${JSON.stringify(instance)} cannot be an instance id`, {
      hint: 'lower-case letters, digits and hyphens, at most 63',
    });
  }
  const { printer, signal } = invocation;
  using workspace = await Workspace.open(invocation);
  const { config, store, keys } = workspace;
  if (config.instances.some(({ id }) => id === instance)) {
    throw new UsageError('TM_EXISTS', `instance ${instance} is configured to be captured`, {
      hint: `a backup of it is made by: tidemark backup create ${instance}`,
    });
  }
  const target = await dumpTarget(flags);
  try {
    const address = await locateNode(target, signal);
    const mayCopy = await copyGuard(address, invocation);
    printer.progress('the node makes a snapshot');
    const done = await makeOneOffBackup(
      { instance, address },
      {
        ...{ store, keys, clock: systemClock, random: systemRandom, signal, mayCopy },
        stateDir: config.stateDir,
        spoolBytesMax: config.spoolBytesMax,
        heartbeatMs: config.limits.heartbeatMs,
        onProgress: (progress) => tell(progress, printer),
      },
    );
    printResult(instance, done, invocation);
  } finally {
    target.address.tls?.[Symbol.dispose]();
  }
}

function tell(progress: OneOffProgress, printer: Printer): void {
  if (progress.phase === 'storing') printer.progress('all of it is here; it goes into the store');
  else if (progress.phase === 'waiting') printer.progress(`waiting: ${progress.error.message}`);
  else {
    const { bytes, bytesTotal } = progress;
    const total = bytesTotal === null ? '' : ` of ${formatBytes(bytesTotal)}`;
    printer.progress(`${formatBytes(bytes)}${total}`);
  }
}

function printResult(
  instance: string,
  { stored, replid, offset }: OneOffBackup,
  { printer, configPath }: Invocation,
): void {
  const { backup, rdbBytes, from, summary, object } = stored;
  const { keys, databases, product, version } = summary;
  const document = {
    ...{ instance, backup, keys, databases, rdbBytes, size: object.size },
    format: { product, version },
    ...{ from: formatSecond(from), replid, offset: offset.toString() },
  };
  printer.result(document, () => [
    `${backup}: ${formatBytes(rdbBytes)}, ${keys.toString()} keys, RDB ${version.toString()}, sealed and in the store`,
    `it is the state at offset ${offset.toString()} of ${replid}; restore it with:`,
    `  tidemark -c ${configPath} restore ${instance} --backup ${backup} --to redis://HOST:PORT`,
  ]);
}
