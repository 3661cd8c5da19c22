import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import type { ChangedSetting, TargetRecord } from './target-record.ts';

/**
 * Sets what the replay needs. When one cannot be set, those before it are put back.
 * @throws NodeError `TM_TARGET_SETTING` with the name in the context.
 */
export async function applySettings(client: NodeClient, record: TargetRecord): Promise<void> {
  const done: ChangedSetting[] = [];
  for (const setting of record.settings) {
    try {
      await client.configSet(setting.name, setting.during);
    } catch (cause) {
      await restoreSettings(client, { ...record, settings: done }).catch(() => undefined);
      throw settingError(setting.name, 'be set for the replay', cause);
    }
    done.push(setting);
  }
}

/**
 * Puts settings of the target back, the last one first.
 *
 * Only a value that is still ours is changed: what somebody else set meanwhile stays. It can be
 * called again, and from another process.
 * @param only - Names to put back; default all.
 * @returns Names that were left because somebody else changed them.
 * @throws NodeError `TM_TARGET_SETTING` after all were tried; `TM_NODE_UNREACHABLE`.
 */
export async function restoreSettings(
  client: NodeClient,
  record: TargetRecord,
  only?: readonly string[],
): Promise<readonly string[]> {
  const foreign: string[] = [];
  let failure: NodeError | null = null;
  for (const { name, before, during } of [...record.settings].reverse()) {
    if (only?.includes(name) === false) continue;
    try {
      const now = (await client.configGet(name))[name];
      if (now === during) await client.configSet(name, before);
      else if (now !== before) foreign.push(name);
    } catch (cause) {
      if (!client.isOpen) throw cause;
      failure ??= settingError(name, 'be put back', cause);
    }
  }
  if (failure !== null) throw failure;
  return foreign;
}

function settingError(setting: string, what: string, cause: unknown): NodeError {
  return new NodeError('TM_TARGET_SETTING', `${setting} of the target cannot ${what}`, {
    context: { setting },
    hint: 'is the setting protected (enable-protected-configs) or the command renamed',
    cause,
  });
}
