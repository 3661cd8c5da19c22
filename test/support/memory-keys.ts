import { KeyError } from '@tidemark/core';
import type {
  DataKey,
  KeyContext,
  KeyDescription,
  KeyProvider,
  KeyPurpose,
  LogKey,
  WrappedDataKey,
} from '@tidemark/crypto';
import { seededRandom } from './crypto-ports.ts';
import { LOG_KEY } from './log-events.ts';

/** A key provider without a disk. What was asked of it stands in `asked`. */
export class MemoryKeys implements KeyProvider {
  readonly name = 'ring';
  readonly asked: string[] = [];
  readonly #random = seededRandom('memory keys');

  generateDataKey(context: {
    readonly instance: string;
    readonly purpose: KeyPurpose;
  }): Promise<{ readonly dataKey: DataKey; readonly wrapped: WrappedDataKey }> {
    this.asked.push(`generate ${context.purpose}`);
    const dataKey = {
      id: this.#random.bytes(16).toString('hex'),
      key: Buffer.from(this.#random.bytes(32)),
    };
    const wrapped: WrappedDataKey = {
      format: 1,
      provider: this.name,
      keyId: LOG_KEY.id,
      keyVersion: 1,
      wrapped: dataKey.key.toString('base64'),
      context: { ...context, dekId: dataKey.id },
      createdMs: 1,
    };
    return Promise.resolve({ dataKey, wrapped });
  }

  unwrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    this.asked.push(`unwrap ${context.purpose}`);
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
    return Promise.reject(new KeyError('TM_KEY_MISSING', 'no such key', { context: { keyId } }));
  }

  listKeys(): Promise<readonly KeyDescription[]> {
    return Promise.resolve([]);
  }

  rewrapDataKey(wrapped: WrappedDataKey): Promise<WrappedDataKey> {
    return Promise.resolve(wrapped);
  }
}
