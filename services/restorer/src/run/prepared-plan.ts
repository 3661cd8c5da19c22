import { PlanError, UsageError } from '@tidemark/core';
import { wipeDataKey, type DataKey } from '@tidemark/crypto';
import { compileSelector, type Selector, type SelectorSpec } from '@tidemark/selector';
import type { SkipRange } from '../closure/skip-range.ts';
import type { Feeder, FeedOutline } from '../feeder/feeder.ts';
import { LocalFeeder } from '../feeder/local-feeder.ts';
import { readerOf } from '../feeder/opened-order.ts';
import { unwrapDataKey } from '../fetch/plan-keys.ts';
import { makePlan, type PlanRequest } from '../plan/make-plan.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { tdeOf } from '../tde/instance-tde.ts';
import { refuseLostBeginning } from '../verify/lost-beginning.ts';
import type { RestoreEnvironment } from './environment.ts';

/** A plan, and the feeder that holds its keys. Disposing ends that. */
export interface PreparedPlan extends AsyncDisposable {
  /** Of everything; `closure` is null: what is needed of it is known to the feeder. */
  readonly plan: RestorePlan;
  readonly outline: FeedOutline;
  readonly feeder: Feeder;
  /** Null: every key. */
  readonly selector: Selector | null;
  readonly withFunctions: boolean;
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
 * Makes a plan and has its data keys opened: a wrong ring is found here, before anything else happens.
 * @param adjust - Changes the plan before it is ordered.
 * @throws UsageError `TM_NOT_FOUND`; PlanError; KeyError; IntegrityError or StoreError for damage.
 */
export async function preparePlan(
  request: WantedPlan,
  environment: RestoreEnvironment,
  adjust: (plan: RestorePlan) => RestorePlan = (plan) => plan,
): Promise<PreparedPlan> {
  const { selector = null, skip = null, withFunctions = false, keepOtherTypes = false } = request;
  const compiled = selector && compileSelector(selector);
  const feeder = await openFeederFor(request.instance, environment);
  try {
    const plan = adjust(await planOf(request, environment));
    const outline = await feeder.order({ plan, selector, skip, withFunctions });
    const { sealedBytes, feedBytes } = outline;
    return {
      plan: { ...plan, sealedBytes, feedBytes },
      ...{ outline, feeder, selector: compiled, withFunctions, keepOtherTypes },
      [Symbol.asyncDispose]: () => feeder[Symbol.asyncDispose](),
    };
  } catch (cause) {
    await feeder[Symbol.asyncDispose]();
    throw cause;
  }
}

/**
 * The feeder of an instance.
 * @throws PlanError `TM_TDE_DENIED` when one with TDE would be fed by this process.
 */
async function openFeederFor(instance: string, environment: RestoreEnvironment): Promise<Feeder> {
  const { signal, onProgress, openFeeder } = environment;
  const feeder =
    openFeeder === undefined
      ? new LocalFeeder(environment, { signal, onProgress })
      : openFeeder(instance, { signal, onProgress });
  if (feeder.isolated || !(await hasTde(instance, environment))) return feeder;
  await feeder[Symbol.asyncDispose]();
  throw new PlanError(
    'TM_TDE_DENIED',
    `instance ${instance} has TDE: a process of its own feeds it`,
    {
      hint: 'restore with the tidemark command',
    },
  );
}

/** One that nobody knows is refused later, as what it is. */
async function hasTde(instance: string, environment: RestoreEnvironment): Promise<boolean> {
  const isKnown = environment.catalog.instances().some(({ iid }) => iid === instance);
  return isKnown && (await tdeOf(instance, environment)).state !== 'disabled';
}

/** The plan of everything. What it reads of footers is opened here, and its keys are zero-filled. */
async function planOf(request: PlanRequest, environment: RestoreEnvironment): Promise<RestorePlan> {
  const { catalog, store, keys, clock, signal } = environment;
  const { instance } = request;
  const known = catalog.instances().some(({ iid }) => iid === instance);
  if (!known) {
    await refuseLostBeginning(instance, 0, environment);
    throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const logKey = await keys.logKey(instance);
  const footerKeys = new Map<string, DataKey>();
  try {
    const [first] = catalog.writers(instance);
    if (first === undefined) {
      const { seq } = catalog.instance(instance);
      await refuseLostBeginning(instance, seq + 1, environment);
      throw new PlanError('TM_TIME_NOT_RESTORABLE', 'nothing of this instance was captured yet', {
        hint: 'start the archiver: tidemark serve archiver',
      });
    }
    const place = { instance, shard: first.shard, writer: first.writer };
    const keyOf = (dekId: string): DataKey => {
      const key = footerKeys.get(dekId);
      if (key === undefined) throw new UsageError('TM_USAGE', 'a data key was not fetched');
      return key;
    };
    const footers = {
      reader: readerOf(place, { logKey, store, signal, keyOf }),
      keyOf: async (dekId: string): Promise<DataKey> => {
        const context = { instance, dekId, purpose: 'segments' } as const;
        const key = footerKeys.get(dekId) ?? (await unwrapDataKey(context, store, keys));
        footerKeys.set(dekId, key);
        return key;
      },
    };
    return await makePlan(request, catalog, footers, clock);
  } finally {
    for (const key of footerKeys.values()) wipeDataKey(key);
  }
}
