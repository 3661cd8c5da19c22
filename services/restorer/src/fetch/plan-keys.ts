import { wrappedKeyKey } from '@tidemark/archive';
import { collectBytes, IntegrityError, KeyError, nameObject, StoreError } from '@tidemark/core';
import {
  parseWrappedDataKey,
  wipeDataKey,
  type DataKey,
  type KeyContext,
  type KeyProvider,
  type KeyPurpose,
  type WrappedDataKey,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { PlannedObject, RestorePlan } from '../plan/restore-plan.ts';

const WRAPPED_BYTES_MAX = 64 * 1024;

/** The data keys of a plan, unwrapped; wiped when disposed. */
export class PlanKeys implements Disposable {
  readonly #keys: ReadonlyMap<string, DataKey>;

  constructor(keys: ReadonlyMap<string, DataKey>) {
    this.#keys = keys;
  }

  /** @throws KeyError `TM_KEY_MISSING` for a key that was not planned. */
  readonly of = (dekId: string): DataKey => {
    const key = this.#keys.get(dekId);
    if (key === undefined) {
      throw new KeyError('TM_KEY_MISSING', 'an object names a data key that was not planned', {
        context: { dekId },
      });
    }
    return key;
  };

  [Symbol.dispose](): void {
    for (const key of this.#keys.values()) wipeDataKey(key);
  }
}

/**
 * Fetches and unwraps every data key of a plan, so that a denial is found before the target is
 * touched. The key context comes from the request, never from the object.
 * @throws KeyError `TM_KEY_MISSING`, `TM_KEY_WRONG`, `TM_KEY_DENIED`.
 */
export async function unwrapPlanKeys(
  plan: RestorePlan,
  store: ObjectStore,
  keys: KeyProvider,
): Promise<PlanKeys> {
  const wanted = new Map<string, KeyPurpose>();
  wanted.set(plan.snapshotObject.ref.dekId, 'snapshot');
  for (const { object } of plan.reads) wanted.set(object.ref.dekId, 'segments');
  const unwrapped = new Map<string, DataKey>();
  for (const [dekId, purpose] of wanted) {
    unwrapped.set(
      dekId,
      await unwrapDataKey({ instance: plan.instance, dekId, purpose }, store, keys),
    );
  }
  return new PlanKeys(unwrapped);
}

/** Fetches and unwraps one data key. */
export async function unwrapDataKey(
  context: { readonly instance: string; readonly dekId: string; readonly purpose: KeyPurpose },
  store: ObjectStore,
  keys: KeyProvider,
): Promise<DataKey> {
  const path = wrappedKeyKey(context.instance, context.dekId, 1);
  return unwrapStored(path, () => context, store, keys);
}

/**
 * Fetches and unwraps what lies at a key.
 * @param contextOf - The context to open it in, given what the object itself says.
 * @throws IntegrityError, FormatError or StoreError that names the object: it is damaged or missing.
 * @throws KeyError `TM_KEY_MISSING` when it names a key that the ring does not hold.
 */
export async function unwrapStored(
  path: string,
  contextOf: (wrapped: WrappedDataKey) => KeyContext,
  store: ObjectStore,
  keys: KeyProvider,
): Promise<DataKey> {
  const tooLong = (): Error => new KeyError('TM_KEY_WRONG', 'a wrapped key is too long');
  try {
    const bytes = await collectBytes(store.get(path), WRAPPED_BYTES_MAX, tooLong);
    const wrapped = parseWrappedDataKey(bytes);
    return await keys.unwrapDataKey(wrapped, contextOf(wrapped));
  } catch (cause) {
    if (cause instanceof KeyError && cause.code === 'TM_KEY_WRONG') {
      // The log was authenticated with this ring: it is the right one, so the object is damaged.
      throw new IntegrityError('TM_SEAL_COMMITMENT', `the wrapped key ${path} was changed`, {
        cause,
        context: { object: path },
      });
    }
    if (!(cause instanceof StoreError) || cause.code !== 'TM_STORE_MISSING') {
      throw nameObject(cause, path);
    }
    throw new StoreError('TM_STORE_MISSING', `the wrapped key ${path} is missing`, {
      cause,
      context: { object: path },
      hint: 'without it what it sealed cannot be opened; look for it in a copy of the store',
    });
  }
}

/** Objects of a plan in the order they are needed, each once. */
export function objectsOf(plan: RestorePlan): readonly PlannedObject[] {
  const segments = plan.reads.map(({ object }) => object);
  return plan.closure?.startsEmpty === true ? segments : [plan.snapshotObject, ...segments];
}
