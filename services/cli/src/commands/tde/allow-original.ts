import { systemClock } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { openTdeInstance } from './open-instance.ts';

/** Allows, or forbids again, that keys of a TDE instance are written back into the original. */
export async function allowOriginalCommand(
  id: string,
  word: 'on' | 'off',
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { log, tde } = await openTdeInstance(id, workspace, invocation);
  const allowed = word === 'on';
  const seq = await log.append(({ originalRestore }) =>
    originalRestore === allowed
      ? null
      : { type: 'OriginalRestoreSet', allowed, atMs: systemClock.nowMs() },
  );
  const document = { instance: id, allowOriginalRestore: allowed, changed: seq !== null };
  invocation.printer.result(document, () => [
    `${id}: restoring keys into the original is ${allowed ? 'allowed' : 'not allowed'}` +
      (seq === null ? ', as before' : '; its log says so'),
    ...(tde.state === 'disabled' ? ['without TDE this changes nothing: it is always allowed'] : []),
  ]);
}
