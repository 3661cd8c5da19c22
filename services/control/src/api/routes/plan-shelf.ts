import { createHash } from 'node:crypto';
import { makeId, type Clock, type Random } from '@tidemark/core';
import { canonicalJson } from '../canonical-json.ts';
import { wrongField } from '../problem-types.ts';

/** How long a plan can be referred to, in milliseconds. */
const PLAN_MS = 600_000;
const PLANS_MAX = 1024;

interface KeptPlan {
  readonly instance: string;
  readonly digest: string;
  readonly untilMs: number;
}

/** Plans that were shown by this process: a restore that names one must ask for the same. */
export class PlanShelf {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #plans = new Map<string, KeptPlan>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Keeps what a plan was asked with; the oldest one goes where there are too many. */
  keep(instance: string, wish: unknown): { readonly planId: string; readonly untilMs: number } {
    const nowMs = this.#clock.nowMs();
    for (const [id, { untilMs }] of this.#plans) {
      if (untilMs > nowMs && this.#plans.size < PLANS_MAX) break;
      this.#plans.delete(id);
    }
    const planId = `plan-${makeId(nowMs, this.#random)}`;
    const untilMs = nowMs + PLAN_MS;
    this.#plans.set(planId, { instance, digest: digestOf(wish), untilMs });
    return { planId, untilMs };
  }

  /** @throws ApiProblem `validation` for a plan that is over, or was made for another wish. */
  require(planId: string, instance: string, wish: unknown): void {
    const plan = this.#plans.get(planId);
    if (plan === undefined || plan.untilMs <= this.#clock.nowMs()) {
      throw wrongField('/planId', 'is not known any more: make a new plan, or leave it out');
    }
    if (plan.instance !== instance || plan.digest !== digestOf(wish)) {
      throw wrongField('/planId', 'is a plan for something else');
    }
  }
}

function digestOf(wish: unknown): string {
  return createHash('sha256').update(canonicalJson(wish)).digest('hex');
}
