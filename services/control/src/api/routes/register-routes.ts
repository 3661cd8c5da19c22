import { addCompatRoutes } from '../../compat/compat-routes.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { addAuditRoutes } from './audit.ts';
import { addBackupRoutes } from './backups.ts';
import { addCloneRoutes } from './clones.ts';
import { addInstanceChanges } from './instance-changes.ts';
import { addInstanceRoutes } from './instances.ts';
import { addJobRoutes } from './jobs.ts';
import { addKeyRoutes } from './keys.ts';
import { addPolicyRoutes } from './policy.ts';
import { addRecycleRoutes } from './recycle.ts';
import { addRestoreRoutes } from './restores.ts';
import { addServerRoutes } from './servers.ts';
import { addTdeRoutes } from './tde.ts';
import { addWindowRoutes } from './windows.ts';
import { addWorkRoutes } from './work.ts';

/** Adds every route of the API under `/v1`, and the one for scripts of the managed service. */
export function registerRoutes(app: ApiApp, ports: ApiPorts): void {
  addJobRoutes(app, ports);
  addInstanceRoutes(app, ports);
  addInstanceChanges(app, ports);
  addBackupRoutes(app, ports);
  addWindowRoutes(app, ports);
  addPolicyRoutes(app, ports);
  addRestoreRoutes(app, ports);
  addCloneRoutes(app, ports);
  addServerRoutes(app, ports);
  addKeyRoutes(app, ports);
  addTdeRoutes(app, ports);
  addRecycleRoutes(app, ports);
  addWorkRoutes(app, ports);
  addAuditRoutes(app, ports);
  addCompatRoutes(app, ports);
}
