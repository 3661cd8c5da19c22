import type { Tde } from '@tidemark/catalog';
import { KeyError } from '@tidemark/core';
import {
  isSameKey,
  type KeyAdmin,
  type KeyAuthorization,
  type KeyFacts,
  type KeyProviders,
} from '@tidemark/crypto';
import { formatSecond } from '@tidemark/workspace';
import { meantKey } from './open-tde.ts';

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
  const found: KeyFacts[] = [];
  for (const provider of new Set([keys.name, tde.key?.provider ?? keys.name, 'aws-kms'])) {
    const admin = await adminIfAny(provider, keys);
    if (admin !== null) found.push(...(await admin.listUsable()));
  }
  return found.map((facts) => keyDocument(facts, tde));
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
