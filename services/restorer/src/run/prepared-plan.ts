import type { LogKey } from '@tidemark/crypto';
import { wipeDataKey, type DataKey } from '@tidemark/crypto';
import { PlanError, UsageError } from '@tidemark/core';
import { ObjectReader } from '../fetch/object-reader.ts';
import { objectsOf, unwrapDataKey, unwrapPlanKeys, type PlanKeys } from '../fetch/plan-keys.ts';
import { makePlan, type PlanRequest } from '../plan/make-plan.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { refuseLostBeginning } from '../verify/lost-beginning.ts';
import { verifyObjects } from '../verify/verify-objects.ts';
import type { RestoreEnvironment } from './environment.ts';

/** A plan with its keys opened. Disposing wipes them. */
export interface PreparedPlan extends Disposable {
  readonly plan: RestorePlan;
  readonly reader: ObjectReader;
  readonly keys: PlanKeys;
}

/**
 * Makes a plan and opens its data keys: a wrong ring is found here, before anything else happens.
 * @throws UsageError `TM_NOT_FOUND`; PlanError; KeyError; IntegrityError or StoreError for damage.
 */
export async function preparePlan(
  request: PlanRequest,
  environment: RestoreEnvironment,
): Promise<PreparedPlan> {
  const { catalog, store, keys, clock } = environment;
  const known = catalog.instances().some(({ iid }) => iid === request.instance);
  if (!known) {
    await refuseLostBeginning(request.instance, 0, environment);
    throw new UsageError('TM_NOT_FOUND', `no instance ${request.instance} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const logKey = await keys.logKey(request.instance);
  const footerKeys = new Map<string, DataKey>();
  try {
    const writers = catalog.writers(request.instance);
    const [first] = writers;
    if (first === undefined) {
      const { seq } = catalog.instance(request.instance);
      await refuseLostBeginning(request.instance, seq + 1, environment);
      throw new PlanError('TM_TIME_NOT_RESTORABLE', 'nothing of this instance was captured yet', {
        hint: 'start the archiver: tidemark serve archiver',
      });
    }
    const place = { instance: request.instance, shard: first.shard, writer: first.writer };
    const footers = {
      reader: readerOf(place, logKey, environment, (dekId) => {
        const key = footerKeys.get(dekId);
        if (key === undefined) throw new UsageError('TM_USAGE', 'a data key was not fetched');
        return key;
      }),
      keyOf: async (dekId: string): Promise<DataKey> => {
        const context = { instance: request.instance, dekId, purpose: 'segments' } as const;
        const key = footerKeys.get(dekId) ?? (await unwrapDataKey(context, store, keys));
        footerKeys.set(dekId, key);
        return key;
      },
    };
    const plan = await makePlan(request, catalog, footers, clock);
    const planKeys = await unwrapPlanKeys(plan, store, keys);
    return {
      plan,
      keys: planKeys,
      reader: readerOf(plan, logKey, environment, planKeys.of),
      [Symbol.dispose]: () => planKeys[Symbol.dispose](),
    };
  } finally {
    for (const key of footerKeys.values()) wipeDataKey(key);
  }
}

/** First phase of the verification, before the target is touched. */
export async function verifyPlan(
  prepared: PreparedPlan,
  depth: 'stream' | 'full',
  environment: RestoreEnvironment,
): Promise<number> {
  const { plan, reader, keys } = prepared;
  const { store, signal, onProgress } = environment;
  return verifyObjects(objectsOf(plan), depth, {
    store,
    reader,
    keyOf: keys.of,
    signal,
    onProgress: (_, bytes) => onProgress({ phase: 'verify', bytes, bytesTotal: plan.sealedBytes }),
  });
}

function readerOf(
  place: { readonly instance: string; readonly shard: string; readonly writer: string },
  logKey: LogKey,
  environment: RestoreEnvironment,
  keyOf: (dekId: string) => DataKey,
): ObjectReader {
  const { store, signal } = environment;
  const { instance, shard, writer } = place;
  return new ObjectReader({ instance, shard, writer, store, logKey, keyOf, signal });
}
