/** Names a key that wraps data keys. */
export interface WrappingKey {
  /** `ring` or `aws-kms`. */
  readonly provider: string;
  /** The ring's id, or a key ARN. */
  readonly keyId: string;
}

/** Which keys wrap the data keys of one instance, from its authenticated log. */
export interface InstanceKeys {
  /** Wraps new data keys; null is the key of the settings. */
  readonly wrapWith: WrappingKey | null;
  /**
   * What older data keys may be wrapped with, besides `wrapWith` and the key of the settings. A
   * stored object never chooses the key it is opened with.
   */
  readonly allowed: readonly WrappingKey[];
  /** A key of its own must wrap, and no record that says which is whole: nothing is wrapped. */
  readonly keyUnknown?: true;
}

const OF_THE_SETTINGS: InstanceKeys = { wrapWith: null, allowed: [] };

/** The keys of each instance, as its log says them. Filled by whoever has read the log. */
export class KeyDirectory {
  readonly #instances = new Map<string, InstanceKeys>();

  /** Takes the place of what was known of an instance. */
  set(instance: string, keys: InstanceKeys): void {
    this.#instances.set(instance, keys);
  }

  /** The keys of an instance; those of the settings alone for one that was never set. */
  of(instance: string): InstanceKeys {
    return this.#instances.get(instance) ?? OF_THE_SETTINGS;
  }
}

/** Whether two names mean the same key. */
export function isSameKey(a: WrappingKey, b: WrappingKey): boolean {
  return a.provider === b.provider && a.keyId === b.keyId;
}
