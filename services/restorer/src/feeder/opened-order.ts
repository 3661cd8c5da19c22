import type { Clock } from '@tidemark/core';
import type { DataKey, KeyProvider, LogKey } from '@tidemark/crypto';
import { compileSelector } from '@tidemark/selector';
import type { ObjectStore } from '@tidemark/store';
import { closureOfAll, findClosure } from '../closure/find-closure.ts';
import { resolveSkip } from '../closure/resolve-skip.ts';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapPlanKeys, type PlanKeys } from '../fetch/plan-keys.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { selectionReport } from '../run/selection-report.ts';
import type { FeederOrder, FeedOutline } from './feeder.ts';

/** What sealed data are read and opened with. */
export interface FeederSources {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly clock: Clock;
}

/** An order with its keys opened. Disposing zero-fills them. */
export interface OpenedOrder extends Disposable {
  /** Narrowed to what is needed. */
  readonly plan: RestorePlan;
  readonly reader: ObjectReader;
  readonly keys: PlanKeys;
}

/**
 * Opens the data keys of an order, so that a denial is found before anything else happens, and finds
 * out what of it is needed.
 * @throws KeyError; PlanError; IntegrityError, FormatError or StoreError for damage.
 */
export async function openOrder(
  order: FeederOrder,
  { store, keys }: Pick<FeederSources, 'store' | 'keys'>,
  signal: AbortSignal,
): Promise<OpenedOrder> {
  const logKey = await keys.logKey(order.plan.instance);
  const planKeys = await unwrapPlanKeys(order.plan, store, keys);
  try {
    const reader = readerOf(order.plan, { logKey, store, signal, keyOf: planKeys.of });
    return {
      plan: await narrowPlan(order, reader),
      reader,
      keys: planKeys,
      [Symbol.dispose]: () => planKeys[Symbol.dispose](),
    };
  } catch (cause) {
    planKeys[Symbol.dispose]();
    throw cause;
  }
}

/** What an opened order comes to. */
export function outlineOf({ plan }: OpenedOrder): FeedOutline {
  return {
    selection: selectionReport(plan),
    sealedBytes: plan.sealedBytes,
    feedBytes: plan.feedBytes,
    commands: plan.reads.reduce((sum, { header }) => sum + header.commands, 0),
  };
}

/** A reader of the objects of one writer. */
export function readerOf(
  place: { readonly instance: string; readonly shard: string; readonly writer: string },
  options: {
    readonly store: ObjectStore;
    readonly logKey: LogKey;
    readonly keyOf: (dekId: string) => DataKey;
    readonly signal: AbortSignal;
  },
): ObjectReader {
  const { instance, shard, writer } = place;
  return new ObjectReader({ instance, shard, writer, ...options });
}

/** The plan with what is needed of it for the wanted keys. */
async function narrowPlan(
  { plan, selector, skip, withFunctions }: FeederOrder,
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
