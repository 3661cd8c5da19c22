import { listInstanceIds } from '@tidemark/catalog';
import { IntegrityError, KeyError } from '@tidemark/core';
import { verifyRepo as verifyWholeRepo } from '@tidemark/restorer';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';

/** Exit code of a key that is missing or does not fit. */
const WRONG_KEYS = 12;

/** Deletes the catalog and reads it anew from the store. */
export async function rebuildCatalog(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { catalog, store } = workspace;
  catalog.clear();
  const instances = await listInstanceIds(store, invocation.signal);
  const entries = await workspace.sync(invocation.signal, null, true);
  invocation.printer.result({ instances: instances.length, entries }, () => [
    `read ${entries.toString()} log entries of ${instances.length.toString()} instances`,
  ]);
}

/** Reads and authenticates every object of the store. */
export async function verifyRepo(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { printer, signal } = invocation;
  // Which keys are allowed comes with it. That a log is damaged is what the verification tells.
  await workspace.sync(signal).catch(() => signal.throwIfAborted());
  const found = await verifyWholeRepo({
    store: workspace.store,
    keys: workspace.keys,
    signal,
    onProgress: (objects, bytes) =>
      printer.progress(`verified ${countOf(objects, 'object')}, ${formatBytes(bytes)}`),
  });
  printer.result(found, () => [
    `${found.instances.toString()} instances, ${found.entries.toString()} log entries, ` +
      `${found.objects.toString()} objects, ${formatBytes(found.bytes)} read`,
    ...(found.shredded === 0
      ? []
      : [`${found.shredded.toString()} data keys were destroyed on purpose`]),
    ...found.faults.map(
      ({ instance, code, message }) => `DAMAGE ${instance}: ${message} (${code})`,
    ),
    found.faultCount === 0 ? 'no damage' : `${found.faultCount.toString()} faults`,
  ]);
  if (found.faultCount === 0) return;
  if (found.faults.every(({ exitCode }) => exitCode === WRONG_KEYS)) {
    throw new KeyError('TM_KEY_MISSING', 'what is in the store needs other keys than this ring', {
      context: { faults: found.faultCount },
      hint: 'name the key ring that the store was written with in [keys]',
    });
  }
  throw new IntegrityError(
    'TM_SEAL_DIGEST',
    `the store is damaged in ${found.faultCount.toString()} places`,
    {
      hint: 'restore to a second whose objects are whole, or bring the objects back from a copy of the store',
    },
  );
}
