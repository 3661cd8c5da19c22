import type { InstanceLog } from '@tidemark/catalog';
import type { Clock, Random } from '@tidemark/core';
import {
  isToBeProbed,
  probeStore,
  refusalOf,
  type ObjectStore,
  type StoreCapabilities,
} from '@tidemark/store';

/** How many of the warnings of a store are recorded. */
const WARNINGS_MAX = 16;
const WARNING_CHARS_MAX = 256;

/** What was found by trying, one trial for all instances of a process. */
const trials = new WeakMap<ObjectStore, Promise<StoreCapabilities>>();

/** What a trial needs. */
export interface TrialPorts {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Tries a store that servers of many kinds may stand behind, and records what it does in the log of
 * the instance where that is not what stands there. A file system is not tried: opening it was.
 * @throws StoreError `TM_STORE_FENCING` for a store in which two archivers could both win,
 *   `TM_STORE_REFUSED`; as its own calls.
 */
export async function tryStore(log: InstanceLog, ports: TrialPorts): Promise<void> {
  const { store, clock, random } = ports;
  if (!isToBeProbed(store)) return;
  let trial = trials.get(store);
  if (trial === undefined) {
    trial = probeStore(store, { random });
    trials.set(store, trial);
    trial.catch(() => trials.delete(store)); // tried again with the next instance
  }
  const found = await trial;
  const refusal = refusalOf(found);
  if (refusal !== null) throw refusal;
  const warnings = found.warnings
    .slice(0, WARNINGS_MAX)
    .map((warning) => warning.slice(0, WARNING_CHARS_MAX));
  const facts = { url: store.url, ...found, warnings };
  await log.append((state) =>
    JSON.stringify(inOrder(state.store ?? {})) === JSON.stringify(inOrder(facts))
      ? null
      : { type: 'StoreProbed', ...facts, atMs: clock.nowMs() },
  );
}

function inOrder(facts: object): readonly (readonly [string, unknown])[] {
  return Object.entries(facts).sort(([a], [b]) => (a < b ? -1 : 1));
}
