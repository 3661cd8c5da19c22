import { knownInstance } from '@tidemark/control';
import { keyNameHasher } from '@tidemark/crypto';
import { keyOfText } from '@tidemark/selector';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';

/**
 * Prints what a key is called where its name is not shown: in the audit, and in answers about an instance
 * with TDE.
 * @throws UsageError `TM_NOT_FOUND` for an instance that is not in the store.
 */
export async function showKeyHash(
  { id, key }: { readonly id: string; readonly key: string },
  invocation: Invocation,
): Promise<void> {
  const name = keyOfText(key);
  using workspace = await Workspace.open(invocation);
  await workspace.sync(invocation.signal, id);
  knownInstance(workspace.catalog, id);
  const keyHash = keyNameHasher(await workspace.keys.logKey(id))(name);
  invocation.printer.result({ instance: id, keyHash }, () => [keyHash]);
}
