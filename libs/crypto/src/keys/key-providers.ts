import { IntegrityError, isSafeName, KeyError, UsageError } from '@tidemark/core';
import type { DataKey } from '../container/key-schedule.ts';
import type { KeyAdmin } from './key-admin.ts';
import { isSameKey, type KeyDirectory, type WrappingKey } from './key-directory.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import type {
  KeyContext,
  KeyDescription,
  KeyProvider,
  KeyPurpose,
  LogKey,
  WrappedDataKey,
} from './provider.ts';
import { assertKeyContext, assertSameContext } from './wrapped-data-key.ts';

/** Makes a wrapper when it is first needed: the code of a key service loads slowly. */
export type OpenWrapper = () => Promise<KeyWrapper>;

/** What the providers are put together from. */
export interface KeyProvidersOptions {
  /** Name of the provider of the settings: wraps where the directory says nothing else. */
  readonly settingsProvider: string;
  /** By provider name; the settings' own is among them. */
  readonly wrappers: ReadonlyMap<string, OpenWrapper>;
  readonly directory: KeyDirectory;
  readonly logKey: (instance: string) => Promise<LogKey>;
  /**
   * Says in the log of an instance that its data keys may be wrapped by a key of a key service.
   * Called before the first one is, where the directory does not tell that it was said.
   */
  readonly adopt?: AdoptKey;
}

/** Appends `KeyAdopted`, unless it stands in the log. */
export type AdoptKey = (instance: string, key: WrappingKey) => Promise<void>;

/**
 * All providers of an installation as one: each instance's data keys are wrapped by the key that its
 * log names, and opened only with a key that its log or the settings allow.
 */
export class KeyProviders implements KeyProvider {
  readonly name: string;
  /** Filled by whoever has read the logs of the instances. */
  readonly directory: KeyDirectory;
  readonly #openers: ReadonlyMap<string, OpenWrapper>;
  readonly #opened = new Map<string, Promise<KeyWrapper>>();
  readonly #logKey: (instance: string) => Promise<LogKey>;
  readonly #adopt: AdoptKey | null;

  constructor(options: KeyProvidersOptions) {
    this.name = options.settingsProvider;
    this.directory = options.directory;
    this.#openers = options.wrappers;
    this.#logKey = options.logKey;
    this.#adopt = options.adopt ?? null;
  }

  /**
   * The key of the settings, with the id that wrapped data keys carry.
   * @throws KeyError when a key service must be asked for it and refuses.
   */
  async defaultKey(): Promise<WrappingKey> {
    const wrapper = await this.#wrapperOf(this.name);
    return { provider: this.name, keyId: await wrapper.defaultKeyId() };
  }

  /**
   * The key that new data keys of an instance are wrapped with.
   * @throws IntegrityError `TM_LOG_AUTH` when TDE is on and nobody knows its key: that of the settings
   *   is not put in its place; as `defaultKey`.
   */
  async wrappingKeyOf(instance: string): Promise<WrappingKey> {
    const { wrapWith, keyUnknown } = this.directory.of(instance);
    if (keyUnknown !== true) return wrapWith ?? (await this.defaultKey());
    throw new IntegrityError(
      'TM_LOG_AUTH',
      `TDE of ${instance} is on and every record of its key is damaged: nothing is wrapped`,
      {
        context: { iid: instance },
        hint: 'use the key ring and the store this instance was written with: tidemark tde status',
      },
    );
  }

  /**
   * Looks after the keys of one provider.
   * @throws KeyError `TM_KEY_MISSING` when the settings name no such provider.
   */
  async adminOf(provider: string): Promise<KeyAdmin> {
    return (await this.#wrapperOf(provider)).admin;
  }

  async generateDataKey(o: {
    readonly instance: string;
    readonly purpose: KeyPurpose;
  }): Promise<{ readonly dataKey: DataKey; readonly wrapped: WrappedDataKey }> {
    assertKeyContext(o);
    const key = await this.wrappingKeyOf(o.instance);
    const wrapper = await this.#wrapperOf(key.provider);
    await this.#assertAdopted(o.instance, key);
    return wrapper.generate(o, key.keyId);
  }

  async unwrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    assertKeyContext(context);
    assertSameContext(wrapped.context, context);
    await this.#assertAllowed(wrapped, context.instance);
    const wrapper = await this.#wrapperOf(wrapped.provider);
    return wrapper.unwrap(wrapped, context);
  }

  async rewrapDataKey(
    wrapped: WrappedDataKey,
    context: KeyContext,
    target?: WrappingKey,
  ): Promise<WrappedDataKey> {
    assertKeyContext(context);
    assertSameContext(wrapped.context, context);
    await this.#assertAllowed(wrapped, context.instance);
    const { provider, keyId } = target ?? (await this.wrappingKeyOf(context.instance));
    const [from, to] = [await this.#wrapperOf(wrapped.provider), await this.#wrapperOf(provider)];
    if (from === to) return to.rewrap(wrapped, context, keyId);
    const dataKey = await from.unwrap(wrapped, context);
    try {
      return await to.wrap(dataKey, context, keyId);
    } finally {
      dataKey.key.fill(0);
    }
  }

  async logKey(instance: string): Promise<LogKey> {
    if (isSafeName(instance)) return this.#logKey(instance);
    throw new UsageError('TM_USAGE', 'an instance id that is not allowed');
  }

  async describeKey(keyId: string): Promise<KeyDescription> {
    const admin = await this.adminOf(keyId.startsWith('arn:') ? 'aws-kms' : this.name);
    const facts = await admin.describe(keyId);
    const { state, createdMs } = facts;
    return {
      provider: facts.provider,
      keyId: facts.keyId,
      state: state === 'enabled' || state === 'pending-deletion' ? state : 'disabled',
      createdMs: createdMs ?? 0,
      versions: [],
    };
  }

  async listKeys(): Promise<readonly KeyDescription[]> {
    const { keyId } = await this.defaultKey();
    return [await this.describeKey(keyId)];
  }

  /** What the log does not name would be refused once the settings name another key. */
  async #assertAdopted(instance: string, key: WrappingKey): Promise<void> {
    const { wrapWith, allowed } = this.directory.of(instance);
    if (this.#adopt === null || key.provider === 'ring') return;
    if ([...allowed, ...(wrapWith === null ? [] : [wrapWith])].some((each) => isSameKey(each, key)))
      return;
    await this.#adopt(instance, key);
    this.directory.set(instance, { wrapWith, allowed: [...allowed, key] });
  }

  /** A stored object never chooses the key or the service that it is opened with. */
  async #assertAllowed(wrapped: WrappingKey, instance: string): Promise<void> {
    const { wrapWith, allowed } = this.directory.of(instance);
    if (wrapWith !== null && isSameKey(wrapWith, wrapped)) return;
    if (allowed.some((key) => isSameKey(key, wrapped))) return;
    if (this.#openers.has(wrapped.provider)) {
      // The local ring opens only what it wrapped itself; of a key service only one key is ours.
      if (wrapped.provider === 'ring') return;
      if (this.name === wrapped.provider && isSameKey(await this.defaultKey(), wrapped)) return;
    }
    const { provider, keyId } = wrapped;
    throw new KeyError('TM_KEY_REFUSED', `key ${keyId} is none of instance ${instance}`, {
      context: { instance, provider, keyId },
      hint: 'the stored key was replaced, or [keys] names another key; see "tidemark tde status"',
    });
  }

  #wrapperOf(provider: string): Promise<KeyWrapper> {
    const known = this.#opened.get(provider);
    if (known !== undefined) return known;
    const open = this.#openers.get(provider);
    if (open === undefined) {
      const error = new KeyError('TM_KEY_MISSING', `no keys of ${provider} are configured`, {
        context: { provider },
        hint: 'name the key service in [keys]: kms_region, and kms_endpoint for one that is not AWS',
      });
      return Promise.reject(error);
    }
    const opening = open();
    this.#opened.set(provider, opening);
    opening.catch(() => this.#opened.delete(provider));
    return opening;
  }
}
