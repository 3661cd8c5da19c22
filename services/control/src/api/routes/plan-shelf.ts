import { createHmac } from 'node:crypto';
import { makeId, type Clock, type Random } from '@tidemark/core';
import type { StateDatabase } from '../../state/database.ts';
import { canonicalJson } from '../canonical-json.ts';
import { wrongField } from '../problem-types.ts';

/** How long a plan can be referred to, in milliseconds. */
const PLAN_MS = 600_000;
const PLANS_MAX = 1_000;

/** What plans are kept with. */
export interface PlanPorts {
  readonly state: StateDatabase;
  readonly clock: Clock;
  readonly random: Random;
  /** What digests are keyed with: what was asked for names keys. */
  readonly digestKey: () => Promise<Buffer>;
}

/**
 * Plans that a process of this host has shown: a restore that names one must ask for the same, of
 * whichever process. Of what was asked for only a digest is kept.
 */
export class PlanShelf {
  readonly #ports: PlanPorts;

  constructor(ports: PlanPorts) {
    this.#ports = ports;
  }

  /**
   * Keeps what a plan was asked with; the oldest one goes where there are too many.
   * @throws CatalogError `TM_STATE_FULL`, `TM_STATE_DB`.
   */
  async keep(
    instance: string,
    wish: unknown,
  ): Promise<{ readonly planId: string; readonly untilMs: number }> {
    const { state, clock, random } = this.#ports;
    const nowMs = clock.nowMs();
    const planId = `plan-${makeId(nowMs, random)}`;
    const untilMs = nowMs + PLAN_MS;
    const digest = digestOf(wish, await this.#ports.digestKey());
    state.write(() => {
      // One of a clock that ran ahead would outlast all others.
      state.run('DELETE FROM plans WHERE until_ms <= ? OR until_ms > ?', nowMs, untilMs);
      state.run(
        `DELETE FROM plans WHERE id IN
           (SELECT id FROM plans ORDER BY until_ms DESC, id DESC LIMIT -1 OFFSET ?)`,
        PLANS_MAX - 1,
      );
      const row = [planId, instance, digest, untilMs] as const;
      state.run('INSERT INTO plans (id, instance, digest, until_ms) VALUES (?, ?, ?, ?)', ...row);
    });
    return { planId, untilMs };
  }

  /** @throws ApiProblem `validation` for a plan that is over, or was made for another wish. */
  async require(planId: string, instance: string, wish: unknown): Promise<void> {
    const { state, clock } = this.#ports;
    const digest = digestOf(wish, await this.#ports.digestKey());
    const plan = state.read(() =>
      state.query<PlanRow>('SELECT instance, digest, until_ms FROM plans WHERE id = ?').get(planId),
    );
    if (plan === undefined || plan.until_ms <= clock.nowMs()) {
      throw wrongField('/planId', 'is not known any more: make a new plan, or leave it out');
    }
    if (plan.instance !== instance || plan.digest !== digest) {
      throw wrongField('/planId', 'is a plan for something else');
    }
  }
}

interface PlanRow {
  readonly instance: string;
  readonly digest: string;
  readonly until_ms: number;
}

function digestOf(wish: unknown, key: Buffer): string {
  return createHmac('sha256', key)
    .update(canonicalJson(['plan', wish]))
    .digest('hex');
}
