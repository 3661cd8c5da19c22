import { wrappedKeyKey } from '@tidemark/archive';
import { IntegrityError, KeyError, nameObject, StoreError, TidemarkError } from '@tidemark/core';
import {
  wipeDataKey,
  type DataKey,
  type KeyContext,
  type KeyProvider,
  type KeyPurpose,
  type WrappedDataKey,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { PlannedObject, RestorePlan } from '../plan/restore-plan.ts';
import {
  allGenerations,
  generationsOf,
  isShredded,
  type KeyGeneration,
} from './key-generations.ts';
import { readWrapped } from './read-wrapped.ts';

/** Times that the generations of a key are listed: a rewrapping may delete the one just seen. */
const LISTINGS_MAX = 5;

/** Up to so many keys each one's generations are listed for themselves. */
export const LISTED_ONE_BY_ONE = 4;

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
  // A key an hour: of a day or more, one listing of all of them is less than one of each.
  const known = wanted.size > LISTED_ONE_BY_ONE ? await allGenerations(plan.instance, store) : null;
  try {
    for (const [dekId, purpose] of wanted) {
      const context = { instance: plan.instance, dekId, purpose };
      unwrapped.set(dekId, await unwrapDataKey(context, store, keys, known?.get(dekId)));
    }
  } catch (cause) {
    for (const key of unwrapped.values()) wipeDataKey(key);
    throw cause;
  }
  return new PlanKeys(unwrapped);
}

/**
 * Fetches and unwraps one data key: the newest generation that opens. While a key is wrapped anew
 * the older one stays until the newer was seen to open, so at every instant one of them does.
 * @param known - Its generations as they were listed before; listed again when one of them is gone.
 * @throws KeyError `TM_KEY_SHREDDED` when it was destroyed on purpose; StoreError `TM_STORE_MISSING`;
 *   else what is wrong with the newest generation.
 */
export async function unwrapDataKey(
  context: KeyContext,
  store: ObjectStore,
  keys: KeyProvider,
  known: readonly KeyGeneration[] | null = null,
): Promise<DataKey> {
  const { instance, dekId } = context;
  let fault: TidemarkError | null = null;
  for (let listing = 1; listing <= LISTINGS_MAX; listing++) {
    const listed = listing === 1 ? known : null;
    const generations = listed ?? (await generationsOf(instance, dekId, store));
    if (generations.length === 0) break;
    let gone = false;
    let newest: TidemarkError | null = null;
    for (const { path } of generations) {
      try {
        return await unwrapStored(path, () => context, store, keys);
      } catch (cause) {
        if (!(cause instanceof TidemarkError) || cause.retryable) throw cause;
        gone ||= cause.code === 'TM_STORE_MISSING';
        newest ??= cause;
      }
    }
    fault = newest;
    if (!gone && fault !== null) throw fault;
  }
  if (await isShredded(instance, dekId, { store, keys })) throw shredded(context);
  throw fault ?? missingKey(wrappedKeyKey(instance, dekId, 1));
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
  try {
    const wrapped = await readWrapped(path, store);
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
    throw missingKey(path, cause);
  }
}

function missingKey(path: string, cause?: unknown): StoreError {
  return new StoreError('TM_STORE_MISSING', `the wrapped key ${path} is missing`, {
    cause,
    context: { object: path },
    hint: 'without it what it sealed cannot be opened; look for it in a copy of the store',
  });
}

function shredded({ instance, dekId }: KeyContext): KeyError {
  return new KeyError(
    'TM_KEY_SHREDDED',
    `data key ${dekId} of ${instance} was destroyed on purpose`,
    {
      context: { instance, dekId },
      hint: 'what it sealed cannot be read any more; choose another backup or second',
    },
  );
}

/** Objects of a plan in the order they are needed, each once. */
export function objectsOf(plan: RestorePlan): readonly PlannedObject[] {
  const segments = plan.reads.map(({ object }) => object);
  return plan.closure?.startsEmpty === true ? segments : [plan.snapshotObject, ...segments];
}
