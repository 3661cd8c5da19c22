import { KeyError, isSafeName, UsageError } from '@tidemark/core';
import type { Identity } from '../container/identity.ts';
import type { DataKey } from '../container/key-schedule.ts';
import { deriveBytes } from './key-derivation.ts';
import { unwrapKey, wrapKey } from './key-wrap.ts';
import type {
  KeyContext,
  KeyDescription,
  KeyProvider,
  KeyPurpose,
  LogKey,
  WrappedDataKey,
} from './provider.ts';
import { createRingDir, loadRing, updateRing, type KeyRingOptions } from './ring-dir.ts';
import { RING_KEYS_MAX } from './ring-file.ts';
import { newestKek, openRing, wipeRing, withNewKek, type RingState } from './ring-state.ts';
import { assertKeyContext, assertSameContext } from './wrapped-data-key.ts';

/** What the local ring offers beyond the provider port. */
export interface KeyRing {
  /** Goes up with every change; the catalog keeps the highest it has seen. */
  readonly revision: number;
  /** 32 hex digits: the id that data keys wrapped by it carry. */
  readonly ringId: string;
  /** Wraps a data key that was made elsewhere, with the newest key version. */
  wrapDataKey(dataKey: DataKey, context: KeyContext): Promise<WrappedDataKey>;
  /**
   * Adds a key version that new data keys are wrapped with; older ones stay.
   * @throws KeyError `TM_KEY_RING`, `TM_BUSY`, `TM_LIMIT` at 1,000 versions.
   */
  rotate(): Promise<void>;
  /** Zero-fills the keys in memory. Nothing else may be called after. */
  close(): void;
}

/**
 * Makes a key ring: folder 0700, `ring.json` and `root.key` 0600.
 * @throws KeyError `TM_KEY_RING` when a ring is there or the folder cannot be used.
 */
export async function createKeyRing(options: KeyRingOptions): Promise<KeyProvider & KeyRing> {
  await createRingDir(options);
  return openKeyRing(options);
}

/**
 * Opens a key ring.
 * @throws KeyError `TM_KEY_RING` when it is missing, damaged, rolled back or open to other users;
 *   `context.path` says where and the hint which command to run.
 */
export async function openKeyRing(options: KeyRingOptions): Promise<KeyProvider & KeyRing> {
  return new LocalKeyRing(options, await readState(options));
}

class LocalKeyRing implements KeyProvider, KeyRing {
  readonly name = 'ring';
  readonly #options: KeyRingOptions;
  #state: RingState;
  #change: Promise<void> = Promise.resolve();

  constructor(options: KeyRingOptions, state: RingState) {
    this.#options = options;
    this.#state = state;
  }

  get revision(): number {
    return this.#state.file.revision;
  }

  get ringId(): string {
    return this.#state.file.ringId;
  }

  wrapDataKey(dataKey: DataKey, context: KeyContext): Promise<WrappedDataKey> {
    return settle(() => {
      assertKeyContext(context);
      return this.#wrap(dataKey, context);
    });
  }

  async rotate(): Promise<void> {
    const previous = this.#change;
    const step = (async (): Promise<void> => {
      await previous.catch(() => undefined);
      await this.#rotate();
    })();
    this.#change = step;
    await step;
  }

  close(): void {
    wipeRing(this.#state);
    this.#state = { ...this.#state, keks: new Map(), logRoot: Buffer.alloc(0) };
  }

  generateDataKey(o: {
    readonly instance: string;
    readonly purpose: KeyPurpose;
  }): Promise<{ dataKey: DataKey; wrapped: WrappedDataKey }> {
    return settle(() => {
      assertKeyContext({ instance: o.instance, purpose: o.purpose });
      const id = this.#options.random.bytes(16).toString('hex');
      const dataKey: DataKey = { id, key: this.#options.random.bytes(32) };
      const context: KeyContext = { instance: o.instance, purpose: o.purpose, dekId: id };
      return { dataKey, wrapped: this.#wrap(dataKey, context) };
    });
  }

  async unwrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    assertKeyContext(context);
    assertSameContext(wrapped.context, context);
    await this.#ensureVersion(wrapped);
    const kek = this.#kekOf(wrapped); // no await from here on: a reload wipes the keys before it
    const identity = wrapIdentity(context, wrapped.createdMs);
    return { id: context.dekId, key: unwrapKey(wrapped.wrapped, { under: kek, identity }) };
  }

  logKey(instance: string): Promise<LogKey> {
    return settle(() => {
      if (!isSafeName(instance)) {
        throw new UsageError('TM_USAGE', 'an instance id that is not allowed');
      }
      newestKek(this.#state); // refuses a closed ring
      const bytes = deriveBytes(this.#state.logRoot, 'tidemark/log/v1', instance, 48);
      return { key: bytes.subarray(0, 32), id: bytes.toString('hex', 32, 48) };
    });
  }

  describeKey(keyId: string): Promise<KeyDescription> {
    return settle(() => {
      const { ringId, createdMs, keys } = this.#state.file;
      if (keyId !== ringId) throw missing(keyId, ringId);
      const versions = keys.map((key) => ({ version: key.version, createdMs: key.createdMs }));
      return { provider: this.name, keyId, state: 'enabled', createdMs, versions };
    });
  }

  async listKeys(): Promise<readonly KeyDescription[]> {
    return [await this.describeKey(this.#state.file.ringId)];
  }

  async rewrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<WrappedDataKey> {
    const dataKey = await this.unwrapDataKey(wrapped, context);
    try {
      return this.#wrap(dataKey, context);
    } finally {
      dataKey.key.fill(0);
    }
  }

  #wrap(dataKey: DataKey, context: KeyContext): WrappedDataKey {
    const { random, clock } = this.#options;
    const { version, kek } = newestKek(this.#state);
    const { instance, purpose, dekId } = context;
    const createdMs = clock.nowMs();
    const identity = wrapIdentity(context, createdMs);
    return {
      format: 1,
      provider: this.name,
      keyId: this.#state.file.ringId,
      keyVersion: version,
      wrapped: wrapKey(dataKey.key, { under: kek, identity, random }),
      context: { instance, purpose, dekId },
      createdMs,
    };
  }

  async #ensureVersion({ provider, keyId, keyVersion }: WrappedDataKey): Promise<void> {
    const { ringId } = this.#state.file;
    if (provider !== this.name) throw missing(`${provider}:${keyId}`, ringId);
    if (keyId !== ringId) throw missing(keyId, ringId);
    newestKek(this.#state); // refuses a closed ring
    // Another process may have rotated since the ring was opened.
    if (!this.#state.keks.has(keyVersion)) await this.#reload();
  }

  #kekOf({ keyId, keyVersion }: WrappedDataKey): DataKey {
    const kek = this.#state.keks.get(keyVersion);
    if (kek !== undefined) return kek;
    throw new KeyError('TM_KEY_MISSING', `the key ring has no version ${keyVersion}`, {
      context: { keyId, keyVersion, newest: this.#state.file.keys.length },
      hint: 'the ring is older than the archive; put the newest copy of it in place',
    });
  }

  async #rotate(): Promise<void> {
    const { random, clock } = this.#options;
    await updateRing(this.#guarded(), ({ ring, root }) => {
      if (ring.keys.length < RING_KEYS_MAX) return withNewKek(ring, root, random, clock.nowMs());
      throw new KeyError('TM_LIMIT', `a key ring holds at most ${RING_KEYS_MAX} versions`);
    });
    await this.#reload();
  }

  async #reload(): Promise<void> {
    const state = await readState(this.#guarded());
    if (state.file.ringId !== this.#state.file.ringId) {
      wipeRing(state);
      throw new KeyError('TM_KEY_RING', 'another key ring was put in place of the open one', {
        context: { expected: this.#state.file.ringId, actual: state.file.ringId },
      });
    }
    if (state.file.revision < this.revision) {
      wipeRing(state); // a later reload won
      return;
    }
    wipeRing(this.#state);
    this.#state = state;
  }

  /** The options with this process's own knowledge of the revision. */
  #guarded(): KeyRingOptions {
    return { ...this.#options, revisionMin: this.revision };
  }
}

async function readState(options: KeyRingOptions): Promise<RingState> {
  const { ring, root } = await loadRing(options);
  try {
    return openRing(ring, root);
  } catch (cause) {
    throw new KeyError('TM_KEY_RING', 'a key of the key ring does not open', {
      context: { path: options.dir },
      hint: 'put back a copy of the ring',
      cause,
    });
  } finally {
    root.fill(0);
  }
}

/** The time is bound too, so that every field of a stored key is authenticated. */
function wrapIdentity({ instance, purpose, dekId }: KeyContext, createdMs: number): Identity {
  return { instance, purpose, dekId, createdMs: createdMs.toString() };
}

function missing(keyId: string, ringId: string): KeyError {
  return new KeyError('TM_KEY_MISSING', `key ${keyId} is not in the key ring ${ringId}`, {
    context: { keyId, ringId },
    hint: 'the archive was written with another key ring; name that one in [keys]',
  });
}

/** A synchronous step as a promise: what it throws becomes a rejection. */
function settle<T>(step: () => T): Promise<T> {
  return new Promise((resolve) => resolve(step()));
}
