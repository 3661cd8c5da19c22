import { listInstanceIds } from '@tidemark/catalog';
import { IntegrityError } from '@tidemark/core';
import { verifyRepo as verifyWholeRepo } from '@tidemark/restorer';
import { Workspace, type Invocation } from '../context.ts';
import { formatBytes } from '../output/table.ts';

/** Deletes the catalog and reads it anew from the store. */
export async function rebuildCatalog(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { catalog, store } = workspace;
  catalog.clear();
  const instances = await listInstanceIds(store, invocation.signal);
  const entries = await workspace.sync(invocation.signal);
  invocation.printer.result({ instances: instances.length, entries }, () => [
    `read ${entries.toString()} log entries of ${instances.length.toString()} instances`,
  ]);
}

/** Reads and authenticates every object of the store. */
export async function verifyRepo(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { printer, signal } = invocation;
  const found = await verifyWholeRepo({
    store: workspace.store,
    keys: workspace.keys,
    signal,
    onProgress: (objects, bytes) =>
      printer.progress(`verified ${objects.toString()} objects, ${formatBytes(bytes)}`),
  });
  printer.result(found, () => [
    `${found.instances.toString()} instances, ${found.entries.toString()} log entries, ` +
      `${found.objects.toString()} objects, ${formatBytes(found.bytes)} read`,
    ...found.faults.map(
      ({ instance, code, message }) => `DAMAGE ${instance}: ${message} (${code})`,
    ),
    found.faultCount === 0 ? 'no damage' : `${found.faultCount.toString()} faults`,
  ]);
  if (found.faultCount === 0) return;
  throw new IntegrityError(
    'TM_SEAL_DIGEST',
    `the store is damaged in ${found.faultCount.toString()} places`,
    {
      hint: 'restore to a second whose objects are whole, or bring the objects back from a copy of the store',
    },
  );
}
