import { KeyError } from '@tidemark/core';
import type { WrappingKey } from './key-directory.ts';

/** State of a wrapping key. Only an enabled one can be used. */
export type KeyState =
  'enabled' | 'disabled' | 'pending-deletion' | 'pending-import' | 'creating' | 'unavailable';

/** What there is to know of a wrapping key. Never carries key material. */
export interface KeyFacts {
  readonly provider: string;
  /** As wrapped data keys carry it: the ring's id, or a key ARN. */
  readonly keyId: string;
  /** The short id of a key service; the ring's id. */
  readonly id: string;
  /** Names of it, such as `alias/orders`; empty where they were not asked for. */
  readonly aliases: readonly string[];
  /** Who manages it: the customer, the key service itself, or this host (the ring). */
  readonly creator: 'customer' | 'service' | 'local';
  readonly description: string;
  readonly state: KeyState;
  /** `ENCRYPT_DECRYPT` can wrap data keys. */
  readonly usage: string;
  /** `SYMMETRIC_DEFAULT` can wrap data keys. */
  readonly spec: string;
  /** Where the material comes from: `AWS_KMS`, `EXTERNAL`, …, `LOCAL`. */
  readonly origin: string;
  readonly createdMs: number | null;
  /** When it will be deleted, Unix milliseconds. */
  readonly deleteMs: number | null;
  /** When imported material expires, Unix milliseconds. */
  readonly materialExpireMs: number | null;
  /** Yearly rotation by the key service; null where it cannot be told or does not exist. */
  readonly rotation: { readonly enabled: boolean; readonly periodDays: number | null } | null;
}

/** Whether an instance may use a key: 0 no, 1 yes, 2 the key service is not there to be asked. */
export interface KeyAuthorization {
  readonly state: 0 | 1 | 2;
  /** What was refused: the action (`kms:Decrypt`) and the reason. Empty for state 1. */
  readonly failed: readonly { readonly action: string; readonly reason: string }[];
  /** How it was found out: by calls that change nothing, or by a data key made and opened. */
  readonly by: 'dry-run' | 'canary';
}

/** Looks after the wrapping keys of one provider. */
export interface KeyAdmin {
  /** `ring` or `aws-kms`. */
  readonly name: string;
  /**
   * @param keyId - Id, ARN or alias; the ring's id.
   * @throws KeyError `TM_KEY_MISSING` for one that does not exist, `TM_KEY_DENIED`, `TM_KEY_SERVICE`.
   */
  describe(keyId: string): Promise<KeyFacts>;
  /** The keys that can wrap data keys now: enabled, symmetric, for encryption; at most 1,000. */
  listUsable(): Promise<readonly KeyFacts[]>;
  /**
   * Makes the automatic key of an instance, `alias/tidemark/<instance>`, with yearly rotation, or
   * finds the one that an earlier call made. The ring gives its own key.
   */
  createFor(instance: string): Promise<WrappingKey>;
  /** Asks whether data keys of an instance can be made and opened with a key. Throws nothing known. */
  authorization(key: WrappingKey, instance: string): Promise<KeyAuthorization>;
}

/** Why a key cannot wrap data keys now; null when it can. */
export function whyUnusable({ state, usage, spec, creator }: KeyFacts): string | null {
  if (creator === 'service') return 'the key service keeps this key for its own use';
  if (usage !== 'ENCRYPT_DECRYPT') return `the key is for ${usage}, not for encryption`;
  if (spec !== 'SYMMETRIC_DEFAULT') return `the key is ${spec}, not symmetric`;
  return state === 'enabled' ? null : `the key is ${state}`;
}

/**
 * The facts of a key that is to wrap data keys.
 * @throws KeyError `TM_KEY_DISABLED` with the reason when it cannot; as `describe`.
 */
export async function describeUsable(admin: KeyAdmin, keyId: string): Promise<KeyFacts> {
  const facts = await admin.describe(keyId);
  const reason = whyUnusable(facts);
  if (reason === null) return facts;
  throw new KeyError('TM_KEY_DISABLED', `${facts.keyId} cannot wrap data keys: ${reason}`, {
    context: { keyId: facts.keyId },
    hint: 'enable it or cancel its deletion in the key service, or name another key',
  });
}
