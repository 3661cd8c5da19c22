import type { Catalog } from '@tidemark/catalog';
import type { Clock, Random } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';

/** What retention works with. It opens nothing that is sealed: log keys are enough. */
export interface RetentionPorts {
  readonly store: ObjectStore;
  readonly keys: Pick<KeyProvider, 'logKey'>;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** How much is kept, and how carefully the rest is let go. */
export interface RetentionRules {
  /** Unless the instance has a policy of its own. */
  readonly retainSeconds: number;
  /** The newest so many backups stay, however old they are; unless the policy says. Default: one. */
  readonly keepLast?: number;
  /** How long what is marked stays in the store, in milliseconds. */
  readonly graceMs: number;
  /** Most of the stored bytes that one run may mark, 0 to 1. */
  readonly shareMax: number;
}

/** A retention run. */
export interface RetentionRequest extends RetentionRules {
  readonly instance: string;
  /** Holds what is known of objects that no log names; may be lost. */
  readonly stateDir: string;
  /** Says what a run would do and does nothing. */
  readonly dryRun: boolean;
}

/** Reads what is new in the logs of the instance. */
export async function syncInstance(instance: string, ports: RetentionPorts): Promise<void> {
  const { store, keys, catalog, signal } = ports;
  const instances = [instance];
  await catalog.sync({ store, instances, logKey: (iid) => keys.logKey(iid), signal });
}
