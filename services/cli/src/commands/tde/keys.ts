import {
  authorizationDocument,
  keyDocuments,
  oneKeyDocument,
  type KeyDocument,
} from '@tidemark/control';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { table } from '../../output/table.ts';
import { openTdeInstance } from './open-instance.ts';

/** Exit codes of the answers "no" and "the key service is not there". */
const DENIED = 12;
const UNAVAILABLE = 16;

/** Lists the keys that TDE of an instance can use: never all that an account has. */
export async function listKeysCommand(id: string, invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { tde } = await openTdeInstance(id, workspace, invocation);
  const rows = await keyDocuments(tde, workspace.keys);
  invocation.printer.result({ instance: id, keys: rows }, () =>
    rows.length === 0
      ? ['no key can be used: make one, or enable TDE with an automatic one']
      : table(
          ['KEY', 'PROVIDER', 'ALIASES', 'STATUS', 'IN USE', 'DESCRIPTION'],
          rows.map((row) => [
            ...[row.keyId, row.provider, row.aliases.join(' ') || '-', row.encryptionKeyStatus],
            ...[row.inUse ? 'yes' : '-', row.description],
          ]),
        ),
  );
}

/** Shows one key: the one that is named, else the one in use. */
export async function showKeyCommand(
  id: string,
  name: string | undefined,
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { tde } = await openTdeInstance(id, workspace, invocation);
  const row = await oneKeyDocument(name, tde, workspace.keys);
  invocation.printer.result({ instance: id, ...row }, () =>
    (Object.keys(row) as (keyof KeyDocument)[]).map(
      (field) => `${field.padEnd(20)} ${textOf(row[field])}`,
    ),
  );
}

/** Asks whether data keys of an instance can be made and opened with a key. */
export async function authorizeCheckCommand(
  id: string,
  flags: { readonly kmsKey?: string },
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { tde } = await openTdeInstance(id, workspace, invocation);
  const document = await authorizationDocument(flags.kmsKey, tde, workspace.keys);
  const { provider, keyId, authorizationState: state, failed, by } = document;
  const word = ['not authorized', 'authorized', 'the key service cannot be asked'][state];
  invocation.printer.result(document, () => [
    `${id}: ${word ?? '?'}, key ${provider} ${keyId} (asked by ${by})`,
    ...failed.map(({ action, reason }) => `FAILED ${action}: ${reason}`),
  ]);
  if (state !== 1) process.exitCode = state === 2 ? UNAVAILABLE : DENIED;
}

function textOf(value: KeyDocument[keyof KeyDocument]): string {
  if (value === null || value === '') return '-';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if ('enabled' in value) {
    const days = value.periodDays === null ? '' : `, every ${value.periodDays.toString()} days`;
    return value.enabled ? `on${days}` : 'off';
  }
  return value.length === 0 ? '-' : value.join(' ');
}
