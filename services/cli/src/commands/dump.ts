import { resolve } from 'node:path';
import { TidemarkError, UsageError } from '@tidemark/core';
import { dumpNode, type DumpedFile } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { locateNode } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes } from '../output/table.ts';
import { dumpBackup } from './dump-backup.ts';
import { copyGuard, dumpTarget, type NodeFlags } from './dump-node.ts';

/** Flags of `dump`. */
export interface DumpFlags extends NodeFlags {
  readonly instance?: string;
  readonly force?: boolean;
}

/** What the dataset goes into where no file is named. */
const BACKUP = 'backup';

/** Takes the dataset of a node over replication: into a plain RDB file, or as a sealed backup. */
export async function dumpCommand(
  into: string,
  flags: DumpFlags,
  invocation: Invocation,
): Promise<void> {
  const { instance, force = false, ...node } = flags;
  if (into === BACKUP) {
    if (instance === undefined) {
      throw new UsageError('TM_USAGE', 'a backup belongs to an instance', {
        hint: `add --instance ID; a file of that name is ./${BACKUP}`,
      });
    }
    if (force) throw new UsageError('TM_USAGE', '--force belongs to a file');
    await dumpBackup(instance, node, invocation);
    return;
  }
  if (instance !== undefined) {
    throw new UsageError('TM_USAGE', '--instance belongs to a backup', {
      hint: `tidemark dump -u URL ${BACKUP} --instance ID`,
    });
  }
  await dumpFile(resolve(into), force, node, invocation);
}

async function dumpFile(
  path: string,
  replace: boolean,
  flags: NodeFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const target = await dumpTarget(flags);
  try {
    const address = await locateNode(target, signal);
    const mayCopy = await copyGuard(address, invocation);
    printer.progress('the node makes a snapshot');
    const done = await dumpNode(
      { address, path, replace },
      {
        ...{ clock: systemClock, random: systemRandom, signal, mayCopy },
        onProgress: (bytes, total) =>
          printer.progress(
            `${formatBytes(bytes)}${total === null ? '' : ` of ${formatBytes(total)}`}`,
          ),
      },
    ).catch(sayForce);
    printResult(done, invocation);
  } finally {
    target.address.tls?.[Symbol.dispose]();
  }
}

function sayForce(cause: unknown): never {
  if (!(cause instanceof TidemarkError) || cause.code !== 'TM_EXISTS') throw cause;
  throw new TidemarkError('TM_EXISTS', cause.message, {
    context: cause.context,
    hint: 'name another file, or --force to replace it',
  });
}

function printResult(
  { path, bytes, summary, replid, offset }: DumpedFile,
  { printer }: Invocation,
): void {
  const { product, version, keys, databases } = summary;
  const document = {
    ...{ file: path, bytes, keys, databases },
    format: { product, version },
    ...{ replid, offset: offset.toString() },
  };
  printer.result(document, () => [
    `${path}: ${formatBytes(bytes)}, ${keys.toString()} keys, RDB ${version.toString()}, whole and checked`,
    `it is the state at offset ${offset.toString()} of ${replid}; the file is not encrypted`,
  ]);
}
