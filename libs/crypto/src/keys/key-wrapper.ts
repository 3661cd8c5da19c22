import type { DataKey } from '../container/key-schedule.ts';
import type { KeyAdmin } from './key-admin.ts';
import type { KeyContext, KeyPurpose, WrappedDataKey } from './provider.ts';

/**
 * Wraps data keys with the keys of one provider. What it may open is decided above it
 * (key-providers.ts): the context and the key come from the request, never from the stored object.
 */
export interface KeyWrapper {
  /** `ring` or `aws-kms`. */
  readonly name: string;
  readonly admin: KeyAdmin;
  /** Id of the key of the settings, as wrapped data keys carry it. */
  defaultKeyId(): Promise<string>;
  /**
   * @param keyId - As wrapped data keys carry it.
   * @throws KeyError `TM_KEY_MISSING`, `TM_KEY_DENIED`, `TM_KEY_DISABLED`, `TM_KEY_SERVICE`; so the others.
   */
  generate(
    o: { readonly instance: string; readonly purpose: KeyPurpose },
    keyId: string,
  ): Promise<{ readonly dataKey: DataKey; readonly wrapped: WrappedDataKey }>;
  /** @throws KeyError `TM_KEY_WRONG` as well: it does not open in this context with this key. */
  unwrap(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey>;
  /** Wraps a data key that came from elsewhere. */
  wrap(dataKey: DataKey, context: KeyContext, keyId: string): Promise<WrappedDataKey>;
  /** Wraps again with another key or version of the same provider. */
  rewrap(wrapped: WrappedDataKey, context: KeyContext, keyId: string): Promise<WrappedDataKey>;
}
