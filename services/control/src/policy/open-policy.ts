import type { Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import type { JobDesk } from '../jobs/job.ts';
import type { PolicyNumbers } from '../metrics/control-metrics.ts';
import type { CatalogKeeper } from '../queries/catalog-keeper.ts';
import type { StateDatabase } from '../state/database.ts';
import type { PolicyDesk } from './policy.ts';
import { LocalPolicyDesk } from './policy-desk.ts';
import { PolicyScheduler } from './policy-scheduler.ts';
import { RunRows } from './run-rows.ts';

/** What policies need of the control plane. */
export interface PolicyParts {
  readonly workspace: Workspace;
  readonly fresh: CatalogKeeper;
  readonly state: StateDatabase;
  readonly jobs: JobDesk;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Policies of a host, and what asks for the backups that they name. Nothing runs yet. */
export function openPolicy(parts: PolicyParts): {
  readonly desk: PolicyDesk;
  readonly scheduler: PolicyScheduler;
  /** For metrics; as the catalog stands. */
  readonly numbers: PolicyNumbers;
} {
  const { workspace, fresh, state, jobs, clock, logger } = parts;
  const rows = new RunRows(state);
  const desk = new LocalPolicyDesk({ ...parts, rows });
  const scheduler = new PolicyScheduler({
    ...{ desk, rows, jobs, fresh, clock, logger },
    known: workspace.catalog,
    instances: () => workspace.config.instances.map(({ id }) => id),
  });
  const numbers: PolicyNumbers = {
    nextBackupMs: (id) => desk.viewOf(id, workspace.catalog.instance(id)).nextBackupMs,
    missedCount: (id) => desk.missedCount(id),
  };
  return { desk, scheduler, numbers };
}
