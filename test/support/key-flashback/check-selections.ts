import type { NodeClient } from '@tidemark/client';
import type { RestoreEnvironment, RestoreReport } from '@tidemark/restorer';
import { expect } from 'vitest';
import { startRedis, type RedisServer } from '../redis-server.ts';
import type { ServerBinary } from '../servers.ts';
import type { Dice } from '../workload/dice.ts';
import { connect, DATABASES, restoreKeys, scratchAt } from './key-history.ts';
import {
  diffKeyStates,
  readKeyStates,
  statesWhere,
  type KeyState,
  type KeyStates,
} from './key-oracle.ts';
import { describeSpec, randomSelector, type RandomSelector } from './random-selector.ts';

/** A server that takes one restore after the other. */
export class KeyTarget implements AsyncDisposable {
  readonly server: RedisServer;
  readonly #client: NodeClient;

  private constructor(server: RedisServer, client: NodeClient) {
    this.server = server;
    this.#client = client;
  }

  static async start(binary: ServerBinary | null): Promise<KeyTarget> {
    const server = await startRedis({
      ...(binary === null ? {} : { binary: binary.binary }),
      aof: false,
      config: { databases: DATABASES.toString() },
    });
    return new KeyTarget(server, await connect(server));
  }

  /**
   * All keys that it holds, expired ones included; then it is emptied for the next restore: one that
   * finds no selected key leaves a target as it is.
   */
  async takeStates(): Promise<KeyStates> {
    const states = await readKeyStates(this.#client);
    await this.#client.call('REPLICAOF', 'NO', 'ONE');
    await this.#client.call('FLUSHALL');
    return states;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

/** What came of the restores of one second. */
export interface SecondResult {
  /** Commands that a restore of everything replayed. */
  readonly allCommands: number;
  readonly reports: readonly RestoreReport[];
  /** Keys that the selectors chose, one count for each. */
  readonly selected: readonly number[];
}

/**
 * Restores one second whole, then by each of some random selectors: the selected keys are those of
 * the whole restore, in everything, and there is no other key.
 */
export async function checkSecond(
  second: number,
  environment: RestoreEnvironment,
  target: KeyTarget,
  draw: { readonly dice: Dice; readonly selectors: number },
): Promise<SecondResult> {
  await using whole = await scratchAt(second, environment);
  const reference = await readKeyStates(whole.client);
  const reports: RestoreReport[] = [];
  const selected: number[] = [];
  for (let i = 0; i < draw.selectors; i++) {
    const selector = randomSelector(draw.dice, [...reference.values()], DATABASES);
    const wanted = statesWhere(reference, selector.selects);
    const label = `second ${second.toString()} of ${describeSpec(selector.spec)}`;
    const report = await restoreKeys(second, selector.spec, target.server, environment);
    const found = await target.takeStates();
    expect(diffKeyStates(wanted, statesWhere(found, isShownOr(selector))), label).toEqual([]);
    if (i === 0) await checkScratch(second, environment, selector, wanted);
    reports.push(report);
    selected.push(wanted.size);
  }
  return { allCommands: whole.report.commands, reports, selected };
}

/**
 * A replica hides keys whose time has passed, from the restore too: of those that came along and died, some
 * go at the promotion only (SWAPDB gives them another database, their type cannot be asked for).
 */
function isShownOr({ selects }: RandomSelector): (state: KeyState) => boolean {
  const nowMs = Date.now();
  return (state) => selects(state) || state.expiryMs === null || state.expiryMs > nowMs;
}

/** A scratch server may hold more than what is selected; that part of it must be right. */
async function checkScratch(
  second: number,
  environment: RestoreEnvironment,
  selector: RandomSelector,
  wanted: KeyStates,
): Promise<void> {
  await using scratch = await scratchAt(second, environment, selector.spec);
  const found = statesWhere(await readKeyStates(scratch.client), selector.selects);
  expect(diffKeyStates(wanted, found), `scratch of ${describeSpec(selector.spec)}`).toEqual([]);
}
