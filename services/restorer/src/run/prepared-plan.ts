import type { LogKey } from '@tidemark/crypto';
import { wipeDataKey, type DataKey } from '@tidemark/crypto';
import { PlanError, UsageError } from '@tidemark/core';
import { compileSelector, type SelectorSpec } from '@tidemark/selector';
import { closureOfAll, findClosure } from '../closure/find-closure.ts';
import { resolveSkip } from '../closure/resolve-skip.ts';
import type { SkipRange } from '../closure/skip-range.ts';
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
  /** As it was wanted (`RestoreRequest`). */
  readonly keepOtherTypes: boolean;
}

/** A plan that is wanted, and what of it. */
export interface WantedPlan extends PlanRequest {
  /** Null: every key. */
  readonly selector?: SelectorSpec | null;
  /** Commands that are left out. */
  readonly skip?: SkipRange | null;
  /** With a selector: the functions as well. */
  readonly withFunctions?: boolean;
  readonly keepOtherTypes?: boolean;
}

/**
 * Makes a plan and opens its data keys: a wrong ring is found here, before anything else happens.
 * @throws UsageError `TM_NOT_FOUND`; PlanError; KeyError; IntegrityError or StoreError for damage.
 */
export async function preparePlan(
  request: WantedPlan,
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
    const reader = readerOf(plan, logKey, environment, planKeys.of);
    return {
      plan: await narrowPlan(plan, request, reader),
      keys: planKeys,
      reader,
      keepOtherTypes: request.keepOtherTypes ?? false,
      [Symbol.dispose]: () => planKeys[Symbol.dispose](),
    };
  } finally {
    for (const key of footerKeys.values()) wipeDataKey(key);
  }
}

/** The plan with what is needed of it for the wanted keys. */
async function narrowPlan(
  plan: RestorePlan,
  { selector = null, skip = null, withFunctions = false }: WantedPlan,
  reader: ObjectReader,
): Promise<RestorePlan> {
  if (selector === null && skip === null) return plan;
  const options = {
    reader,
    keyOf: (dekId: string) => Promise.resolve(reader.dataKeyById(dekId)),
  };
  const range = skip && (await resolveSkip(plan, skip, reader));
  const closure =
    selector === null
      ? closureOfAll(plan, range)
      : await findClosure(
          plan,
          { selector: compileSelector(selector), skip: range, keepFunctions: withFunctions },
          options,
        );
  const rdb = closure.startsEmpty ? null : plan.snapshot;
  const { frameBytes } = closure.share;
  return {
    ...plan,
    closure,
    reads: closure.reads,
    sealedBytes: (rdb?.object.size ?? 0) + frameBytes,
    feedBytes: (rdb?.rdbBytes ?? 0) + frameBytes,
  };
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
