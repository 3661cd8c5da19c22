import type { DataKey } from '../container/key-schedule.ts';
import type { WrappingKey } from './key-directory.ts';

/** What a data key is for. */
export type KeyPurpose = 'segments' | 'snapshot' | 'log' | 'canary' | 'undo';

/** Binds a wrapped data key to its use. It comes from the request, never from the stored object. */
export interface KeyContext {
  /** Instance id. */
  readonly instance: string;
  readonly purpose: KeyPurpose;
  /** 32 hex digits. */
  readonly dekId: string;
}

/** A data key as it is stored beside the objects (docs/formats/wrapped-data-key.md). */
export interface WrappedDataKey {
  readonly format: 1;
  /** Name of the provider that can open it: `ring`, `aws-kms`. */
  readonly provider: string;
  /** Id of the key that wraps it: the ring's id, or a key ARN. */
  readonly keyId: string;
  /** Version of that key; 0 when the provider does not say. */
  readonly keyVersion: number;
  /** Base64. */
  readonly wrapped: string;
  readonly context: KeyContext;
  /** When it was wrapped, Unix milliseconds. */
  readonly createdMs: number;
}

/** A wrapping key as an operator sees it. Never carries key material. */
export interface KeyDescription {
  readonly provider: string;
  readonly keyId: string;
  readonly state: 'enabled' | 'disabled' | 'pending-deletion';
  readonly createdMs: number;
  /** Versions, oldest first. New data keys are wrapped with the last. */
  readonly versions: readonly { readonly version: number; readonly createdMs: number }[];
}

/** A key that authenticates the log of one instance. */
export interface LogKey {
  /** 32 hex digits, not secret. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/**
 * Makes and opens data keys. The local ring and a key service look the same from here.
 *
 * Data keys that are returned belong to the caller, who zero-fills them (`wipeDataKey`).
 */
export interface KeyProvider {
  /** `ring` or `aws-kms`. */
  readonly name: string;
  /** Makes a fresh data key, in clear and wrapped with the newest key version. */
  generateDataKey(context: {
    readonly instance: string;
    readonly purpose: KeyPurpose;
  }): Promise<{ readonly dataKey: DataKey; readonly wrapped: WrappedDataKey }>;
  /**
   * Opens a wrapped data key.
   * @param context - From the request. Another context than at wrapping is refused.
   * @throws KeyError `TM_KEY_MISSING` when the provider has no such key or version,
   *   `TM_KEY_WRONG` when the key does not open or belongs to another context, `TM_KEY_REFUSED` when
   *   it is wrapped by a key that the instance does not allow, `TM_KEY_DENIED`, `TM_KEY_DISABLED`,
   *   `TM_KEY_SERVICE` when a key service refuses or is away.
   */
  unwrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey>;
  /** The log key of an instance; the same at every call. Needs no right to decrypt. */
  logKey(instance: string): Promise<LogKey>;
  /** @throws KeyError `TM_KEY_MISSING` for an id the provider does not have. */
  describeKey(keyId: string): Promise<KeyDescription>;
  listKeys(): Promise<readonly KeyDescription[]>;
  /**
   * Wraps again; the data key stays the same. Throws as unwrap.
   * @param target - The key to wrap with, in its newest version; default: the one that new data
   *   keys of the instance are wrapped with.
   */
  rewrapDataKey(
    wrapped: WrappedDataKey,
    context: KeyContext,
    target?: WrappingKey,
  ): Promise<WrappedDataKey>;
}
