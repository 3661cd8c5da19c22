import type { Tde } from '@tidemark/catalog';
import { KeyError } from '@tidemark/core';
import { isSameKey, type KeyAdmin, type KeyFacts, type KeyProviders } from '@tidemark/crypto';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { table } from '../../output/table.ts';
import { meantKey } from './choose-key.ts';
import { openTdeInstance } from './open-instance.ts';

/** Exit codes of the answers "no" and "the key service is not there". */
const DENIED = 12;
const UNAVAILABLE = 16;

/** Lists the keys that TDE of an instance can use: never all that an account has. */
export async function listKeysCommand(id: string, invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { keys } = workspace;
  const { tde } = await openTdeInstance(id, workspace, invocation);
  const found: KeyFacts[] = [];
  for (const provider of new Set([keys.name, tde.key?.provider ?? keys.name, 'aws-kms'])) {
    const admin = await adminIfAny(provider, keys);
    if (admin !== null) found.push(...(await admin.listUsable()));
  }
  const rows = found.map((facts) => keyDocument(facts, tde));
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

/** Beside a ring a key service may be configured, for single instances. */
async function adminIfAny(provider: string, keys: KeyProviders): Promise<KeyAdmin | null> {
  try {
    return await keys.adminOf(provider);
  } catch (cause) {
    if (cause instanceof KeyError && cause.code === 'TM_KEY_MISSING') return null;
    throw cause;
  }
}

/** Shows one key: the one that is named, else the one in use. */
export async function showKeyCommand(
  id: string,
  name: string | undefined,
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { tde } = await openTdeInstance(id, workspace, invocation);
  const { admin, key } = await meantKey(name, tde, workspace.keys);
  const row = keyDocument(await admin.describe(key.keyId), tde);
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
  const { admin, key } = await meantKey(flags.kmsKey, tde, workspace.keys);
  const { state, failed, by } = await admin.authorization(key, id);
  const document = { instance: id, ...key, authorizationState: state, failed, by };
  const word = ['not authorized', 'authorized', 'the key service cannot be asked'][state];
  invocation.printer.result(document, () => [
    `${id}: ${word ?? '?'}, key ${key.provider} ${key.keyId} (asked by ${by})`,
    ...failed.map(({ action, reason }) => `FAILED ${action}: ${reason}`),
  ]);
  if (state !== 1) process.exitCode = state === 2 ? UNAVAILABLE : DENIED;
}

interface KeyDocument {
  readonly keyId: string;
  readonly provider: string;
  readonly aliases: readonly string[];
  readonly creator: string;
  readonly description: string;
  readonly encryptionKeyStatus: string;
  readonly keyUsage: string;
  readonly keySpec: string;
  readonly origin: string;
  readonly created: string | null;
  readonly deleteDate: string | null;
  readonly materialExpireTime: string | null;
  readonly rotation: KeyFacts['rotation'];
  readonly inUse: boolean;
}

function keyDocument(facts: KeyFacts, { key }: Tde): KeyDocument {
  return {
    keyId: facts.keyId,
    provider: facts.provider,
    aliases: facts.aliases,
    creator: facts.creator,
    description: facts.description,
    encryptionKeyStatus: facts.state,
    keyUsage: facts.usage,
    keySpec: facts.spec,
    origin: facts.origin,
    created: iso(facts.createdMs),
    deleteDate: iso(facts.deleteMs),
    materialExpireTime: iso(facts.materialExpireMs),
    rotation: facts.rotation,
    inUse: key !== null && isSameKey(key, facts),
  };
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

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
