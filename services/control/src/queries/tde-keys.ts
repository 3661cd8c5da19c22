import type { Tde } from '@tidemark/catalog';
import { KeyError, UsageError } from '@tidemark/core';
import {
  isSameKey,
  type KeyAdmin,
  type KeyAuthorization,
  type KeyFacts,
  type KeyProviders,
  type WrappingKey,
} from '@tidemark/crypto';
import { formatSecond } from '@tidemark/workspace';
import { meantKey, type TdeInstance } from './open-tde.ts';

/** A key as `tde keys` and the API show it. Times RFC 3339 UTC; never key material. */
export interface KeyDocument {
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

/** Whether an instance may use a key. */
export interface AuthorizationDocument {
  readonly instance: string;
  readonly provider: string;
  readonly keyId: string;
  readonly authorizationState: KeyAuthorization['state'];
  readonly failed: KeyAuthorization['failed'];
  readonly by: KeyAuthorization['by'];
}

/** The keys that TDE of an instance can use: never all that an account has. */
export async function keyDocuments(tde: Tde, keys: KeyProviders): Promise<readonly KeyDocument[]> {
  return (await listed(tde, keys)).map((facts) => keyDocument(facts, tde));
}

async function listed(tde: Tde, keys: KeyProviders): Promise<readonly KeyFacts[]> {
  const found: KeyFacts[] = [];
  for (const provider of new Set([keys.name, tde.key?.provider ?? keys.name, 'aws-kms'])) {
    const admin = await adminIfAny(provider, keys);
    if (admin !== null) found.push(...(await admin.listUsable()));
  }
  return found;
}

/**
 * One key: the one that is named, else the one in use.
 * @throws As `KeyAdmin.describe`.
 */
export async function oneKeyDocument(
  name: string | undefined,
  tde: Tde,
  keys: KeyProviders,
): Promise<KeyDocument> {
  const { admin, key } = await meantKey(name, tde, keys);
  return keyDocument(await admin.describe(key.keyId), tde);
}

/**
 * One key for who may only look: of the keys that the instance uses or has used, that of the settings,
 * and those that the list shows. The key service is never asked about a name that a caller made up.
 * @throws UsageError `TM_NOT_FOUND` for any other, whether or not there is such a key; as
 *   `KeyAdmin.describe`.
 */
export async function visibleKeyDocument(
  name: string,
  { tde, log }: Pick<TdeInstance, 'tde' | 'log'>,
  keys: KeyProviders,
): Promise<KeyDocument> {
  const isMeant = ({ keyId }: WrappingKey): boolean => [keyId, shortIdOf(keyId)].includes(name);
  const key =
    [tde.key, ...log.state.keys].find((one) => one !== null && isMeant(one)) ??
    [await keys.defaultKey()].find(isMeant) ??
    (await listed(tde, keys)).find((facts) => namesOf(facts).includes(name)) ??
    null;
  if (key === null) {
    throw new UsageError('TM_NOT_FOUND', 'no key of this instance, or of the list, has this name', {
      hint: 'the scope admin may ask about any key',
    });
  }
  const admin = await keys.adminOf(key.provider);
  return keyDocument(await admin.describe(key.keyId), tde);
}

function namesOf({ keyId, id, aliases }: KeyFacts): readonly string[] {
  return [keyId, id, ...aliases];
}

/** Of an ARN what stands behind `key/`. */
function shortIdOf(keyId: string): string {
  return /^arn:[^/]*:key\/(.+)$/.exec(keyId)?.[1] ?? keyId;
}

/** Asks whether data keys of an instance can be made and opened with a key. */
export async function authorizationDocument(
  name: string | undefined,
  tde: Tde,
  keys: KeyProviders,
): Promise<AuthorizationDocument> {
  const { admin, key } = await meantKey(name, tde, keys);
  const { state, failed, by } = await admin.authorization(key, tde.iid);
  const { provider, keyId } = key;
  return { instance: tde.iid, provider, keyId, authorizationState: state, failed, by };
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

function iso(ms: number | null): string | null {
  return ms === null ? null : formatSecond(Math.floor(ms / 1000));
}
