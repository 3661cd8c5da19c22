import { randomBytes } from 'node:crypto';
import { KeyError } from '@tidemark/core';
import {
  KeyDirectory,
  type DataKey,
  type KeyAdmin,
  type KeyDescription,
  type KeyProvider,
  type LogKey,
  type KeyAuthorization,
  type KeyContext,
  type KeyFacts,
  type KeyPurpose,
  type WrappedDataKey,
  type WrappingKey,
} from '@tidemark/crypto';

import { LOG_KEY } from '../log-events.ts';

/** Name of the provider of the settings, and of its one key. */
export const SETTINGS_KEY: WrappingKey = { provider: 'ring', keyId: 'settings' };

/**
 * Keys in memory, as a composite of providers shows them: the directory says which one wraps. What
 * it handed out stands in `wraps`, so that a test can ask which key sealed what.
 */
export class TestKeyService implements KeyAdmin, KeyProvider {
  readonly name = 'ring';
  /** Every process has one of its own: see `restart`. */
  directory = new KeyDirectory();
  readonly usable = new Set<string>([SETTINGS_KEY.keyId]);
  readonly wraps = new Map<string, WrappingKey>();
  /** Keys made for instances. */
  readonly made = new Map<string, string>();
  authorized: KeyAuthorization['state'] = 1;

  /** A process begins: it knows nothing of what another one had read. */
  restart(): void {
    this.directory = new KeyDirectory();
  }

  generateDataKey(context: {
    readonly instance: string;
    readonly purpose: KeyPurpose;
  }): Promise<{ readonly dataKey: DataKey; readonly wrapped: WrappedDataKey }> {
    const { provider, keyId } = this.directory.of(context.instance).wrapWith ?? SETTINGS_KEY;
    if (!this.usable.has(keyId)) return Promise.reject(missing(keyId));
    const dataKey = { id: randomBytes(16).toString('hex'), key: randomBytes(32) };
    this.wraps.set(dataKey.id, { provider, keyId });
    const wrapped: WrappedDataKey = {
      format: 1,
      provider,
      keyId,
      keyVersion: 1,
      wrapped: dataKey.key.toString('base64'),
      context: { ...context, dekId: dataKey.id },
      createdMs: 1,
    };
    return Promise.resolve({ dataKey, wrapped });
  }

  unwrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    if (!this.usable.has(wrapped.keyId)) return Promise.reject(missing(wrapped.keyId));
    const { instance, purpose, dekId } = wrapped.context;
    if (instance !== context.instance || purpose !== context.purpose || dekId !== context.dekId) {
      return Promise.reject(new KeyError('TM_KEY_WRONG', 'another context'));
    }
    return Promise.resolve({ id: dekId, key: Buffer.from(wrapped.wrapped, 'base64') });
  }

  logKey(): Promise<LogKey> {
    return Promise.resolve(LOG_KEY);
  }

  describeKey(keyId: string): Promise<KeyDescription> {
    if (!this.usable.has(keyId)) return Promise.reject(missing(keyId));
    const described = { provider: this.name, keyId, state: 'enabled', createdMs: 1, versions: [] };
    return Promise.resolve({ ...described, state: 'enabled' });
  }

  async listKeys(): Promise<readonly KeyDescription[]> {
    return Promise.all([...this.usable].map((keyId) => this.describeKey(keyId)));
  }

  rewrapDataKey(wrapped: WrappedDataKey): Promise<WrappedDataKey> {
    const { provider, keyId } =
      this.directory.of(wrapped.context.instance).wrapWith ?? SETTINGS_KEY;
    return Promise.resolve({ ...wrapped, provider, keyId });
  }

  describe(keyId: string): Promise<KeyFacts> {
    if (!this.usable.has(keyId)) return Promise.reject(missing(keyId));
    return Promise.resolve(factsOf(keyId));
  }

  listUsable(): Promise<readonly KeyFacts[]> {
    return Promise.resolve([...this.usable].map(factsOf));
  }

  createFor(instance: string): Promise<WrappingKey> {
    const keyId = this.made.get(instance) ?? `auto-${instance}`;
    this.made.set(instance, keyId);
    this.usable.add(keyId);
    return Promise.resolve({ provider: this.name, keyId });
  }

  authorization(): Promise<KeyAuthorization> {
    const failed =
      this.authorized === 1 ? [] : [{ action: 'kms:Decrypt', reason: 'not authorized' }];
    return Promise.resolve({ state: this.authorized, failed, by: 'canary' });
  }
}

function factsOf(keyId: string): KeyFacts {
  return {
    provider: 'ring',
    keyId,
    id: keyId,
    aliases: [],
    creator: 'local',
    description: '',
    state: 'enabled',
    usage: 'ENCRYPT_DECRYPT',
    spec: 'SYMMETRIC_DEFAULT',
    origin: 'LOCAL',
    createdMs: 1,
    deleteMs: null,
    materialExpireMs: null,
    rotation: null,
  };
}

function missing(keyId: string): KeyError {
  return new KeyError('TM_KEY_MISSING', `there is no key ${keyId}`, { context: { keyId } });
}
