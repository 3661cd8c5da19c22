import { listInstanceIds } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import {
  findUndoPack,
  listUndoPacks,
  undoRestore,
  type ConflictPolicy,
  type UndoPackFacts,
} from '@tidemark/restorer';
import { undoRetainMs, withLease, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';
import { comparisonProgress } from './preview.ts';
import { restoreEnvironment } from './restore-environment.ts';
import type { SpareFlags } from './spare-flags.ts';
import { sparedOriginal } from './spared-original.ts';
import { askConsent } from './write-consent.ts';
import { endWriting, undoText } from './write-text.ts';

/** Flags of `tidemark undo` as commander gives them. */
export interface UndoFlags extends SpareFlags {
  readonly list?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly onConflict?: ConflictPolicy;
}

/** Undoes a restore into the original, or lists what can be undone. */
export async function undoCommand(
  id: string | undefined,
  flags: UndoFlags,
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  if (flags.list === true) {
    await showPacks(id ?? null, workspace, invocation);
    return;
  }
  if (id === undefined) {
    throw new UsageError('TM_USAGE', 'say which restore is to be undone', {
      hint: 'see which can be: tidemark undo --list',
    });
  }
  await undo(id, flags, workspace, invocation);
}

async function undo(
  restore: string,
  flags: UndoFlags,
  workspace: Workspace,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const { store, config } = workspace;
  const instance = await findUndoPack(restore, { store, signal });
  if (instance === null) {
    throw new UsageError('TM_NOT_FOUND', `there is no undo pack of ${restore}`, {
      hint: 'see which there are: tidemark undo --list',
    });
  }
  const live = await sparedOriginal(instance, flags, config);
  // Whether the instance allows it, and which keys open the pack, stands in its log.
  await workspace.sync(signal, instance);
  const dryRun = flags.dryRun === true;
  const yes = dryRun || flags.yes === true;
  const what = `keys of the running instance ${instance} will be put back`;
  await askConsent(instance, what, { yes, signal });
  const reading = { instance, fromSecond: null, isLong: !dryRun, undoes: restore };
  const { report, failure } = await withLease(reading, workspace, printer, () =>
    undoRestore(
      {
        ...{ instance, restore, live, dryRun },
        policy: flags.onConflict ?? 'skip',
        retainMs: undoRetainMs(instance, workspace),
      },
      restoreEnvironment(workspace, invocation, comparisonProgress),
    ),
  );
  printer.result(report, () => undoText(report, invocation));
  if (dryRun && failure === null) return;
  endWriting(report, failure);
}

async function showPacks(
  instance: string | null,
  { store, keys }: Workspace,
  { printer, signal }: Invocation,
): Promise<void> {
  const known = await listInstanceIds(store, signal);
  if (instance !== null && !known.includes(instance)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
      hint: 'without an id, undo --list shows those of all instances',
    });
  }
  const ids = instance === null ? known : [instance];
  const packs: UndoPackFacts[] = [];
  for (const id of ids) packs.push(...(await listUndoPacks(id, { store, keys, signal })));
  packs.sort((a, b) => a.createdMs - b.createdMs);
  const shown = packs.map(({ createdMs, expiresMs, ...pack }) => ({
    ...pack,
    created: iso(createdMs),
    expires: iso(expiresMs),
  }));
  printer.result({ packs: shown }, () =>
    shown.length === 0
      ? ['nothing can be undone']
      : table(
          ['RESTORE', 'INSTANCE', 'CREATED (UTC)', 'KEYS', 'SIZE', 'EXPIRES (UTC)'],
          shown.map((pack) => [
            ...[pack.restore, pack.instance, pack.created, pack.keys.toString()],
            ...[formatBytes(pack.bytes), pack.expires],
          ]),
        ),
  );
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
