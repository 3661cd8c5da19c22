import { PlanError, UsageError } from '@tidemark/core';
import { compileSelector, type Selector, type SelectorSpec } from '@tidemark/selector';
import type { SkipRange } from '../closure/skip-range.ts';
import type { Feeder, FeedOutline } from '../feeder/feeder.ts';
import { LocalFeeder } from '../feeder/local-feeder.ts';
import { openLog } from '../feeder/opened-log.ts';
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
    const plan = adjust(await planOf(request, feeder, environment));
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

/**
 * The plan of everything. The marks that it reads in footers are opened here, and their keys are
 * zero-filled; at commands the feeder looks.
 */
async function planOf(
  request: PlanRequest,
  feeder: Feeder,
  environment: RestoreEnvironment,
): Promise<RestorePlan> {
  const { catalog, clock, signal } = environment;
  const { instance } = request;
  const known = catalog.instances().some(({ iid }) => iid === instance);
  if (!known) {
    await refuseLostBeginning(instance, 0, environment);
    throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const [first] = catalog.writers(instance);
  if (first === undefined) {
    const { seq } = catalog.instance(instance);
    await refuseLostBeginning(instance, seq + 1, environment);
    throw new PlanError('TM_TIME_NOT_RESTORABLE', 'nothing of this instance was captured yet', {
      hint: 'start the archiver: tidemark serve archiver',
    });
  }
  const place = { instance, shard: first.shard, writer: first.writer };
  using log = await openLog(place, environment, signal);
  return await makePlan(request, catalog, log.footers, feeder.look(place), clock);
}
