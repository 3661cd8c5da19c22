import { KeyError, TidemarkError } from '@tidemark/core';
import type { DataKey } from '../container/key-schedule.ts';
import type { KeyAdmin, KeyAuthorization, KeyFacts } from './key-admin.ts';
import type { KeyRing } from './key-ring.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import type { KeyContext, KeyProvider, WrappedDataKey } from './provider.ts';

/** The local ring as one of several wrappers of data keys. */
export class RingWrapper implements KeyWrapper {
  readonly name = 'ring';
  readonly admin: KeyAdmin;
  readonly #ring: KeyProvider & KeyRing;

  constructor(ring: KeyProvider & KeyRing) {
    this.#ring = ring;
    this.admin = new RingAdmin(ring);
  }

  defaultKeyId(): Promise<string> {
    return Promise.resolve(this.#ring.ringId);
  }

  async generate(
    o: Parameters<KeyWrapper['generate']>[0],
    keyId: string,
  ): ReturnType<KeyWrapper['generate']> {
    await this.#ring.describeKey(keyId);
    return this.#ring.generateDataKey(o);
  }

  unwrap(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    return this.#ring.unwrapDataKey(wrapped, context);
  }

  async wrap(dataKey: DataKey, context: KeyContext, keyId: string): Promise<WrappedDataKey> {
    await this.#ring.describeKey(keyId);
    return this.#ring.wrapDataKey(dataKey, context);
  }

  async rewrap(
    wrapped: WrappedDataKey,
    context: KeyContext,
    keyId: string,
  ): Promise<WrappedDataKey> {
    await this.#ring.describeKey(keyId);
    return this.#ring.rewrapDataKey(wrapped, context);
  }
}

/** The ring has one key, which every instance shares. */
class RingAdmin implements KeyAdmin {
  readonly name = 'ring';
  readonly #ring: KeyProvider & KeyRing;

  constructor(ring: KeyProvider & KeyRing) {
    this.#ring = ring;
  }

  async describe(keyId: string): Promise<KeyFacts> {
    const { createdMs, versions } = await this.#ring.describeKey(keyId);
    return {
      provider: this.name,
      keyId,
      id: keyId,
      aliases: [],
      creator: 'local',
      description: `local key ring, version ${versions.length}`,
      state: 'enabled',
      usage: 'ENCRYPT_DECRYPT',
      spec: 'SYMMETRIC_DEFAULT',
      origin: 'LOCAL',
      createdMs,
      deleteMs: null,
      materialExpireMs: null,
      rotation: null,
    };
  }

  async listUsable(): Promise<readonly KeyFacts[]> {
    return [await this.describe(this.#ring.ringId)];
  }

  createFor(): Promise<{ readonly provider: string; readonly keyId: string }> {
    return Promise.resolve({ provider: this.name, keyId: this.#ring.ringId });
  }

  async authorization(
    key: { readonly provider: string; readonly keyId: string },
    instance: string,
  ): Promise<KeyAuthorization> {
    try {
      await this.#ring.describeKey(key.keyId);
      const made = await this.#ring.generateDataKey({ instance, purpose: 'canary' });
      const opened = await this.#ring.unwrapDataKey(made.wrapped, made.wrapped.context);
      const isSame = opened.key.equals(made.dataKey.key);
      opened.key.fill(0);
      made.dataKey.key.fill(0);
      if (!isSame) throw new KeyError('TM_KEY_WRONG', 'a data key does not open as it was made');
      return { state: 1, failed: [], by: 'canary' };
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      return { state: 0, failed: [{ action: 'ring', reason: cause.message }], by: 'canary' };
    }
  }
}
