import { openOrder, type OpenedOrder } from '../../services/restorer/src/feeder/opened-order.ts';
import type { RestoreEnvironment } from '../../services/restorer/src/run/environment.ts';
import { preparePlan, type WantedPlan } from '../../services/restorer/src/run/prepared-plan.ts';

/** Plans, and opens what a feeder of the plan would read. */
export async function openPlanned(
  request: WantedPlan,
  environment: RestoreEnvironment,
): Promise<OpenedOrder> {
  await using prepared = await preparePlan(request, environment);
  const { selector = null, skip = null, withFunctions = false } = request;
  const order = { plan: prepared.plan, selector, skip, withFunctions };
  return await openOrder(order, environment, environment.signal);
}
