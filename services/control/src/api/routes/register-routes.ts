import type { ApiApp, ApiPorts } from '../types.ts';
import { addAuditRoutes } from './audit.ts';
import { addBackupRoutes } from './backups.ts';
import { addInstanceRoutes } from './instances.ts';
import { addJobRoutes } from './jobs.ts';
import { addTdeRoutes } from './tde.ts';
import { addWindowRoutes } from './windows.ts';

/** Adds every route of the API under `/v1`. */
export function registerRoutes(app: ApiApp, ports: ApiPorts): void {
  addJobRoutes(app, ports);
  addInstanceRoutes(app, ports);
  addBackupRoutes(app, ports);
  addWindowRoutes(app, ports);
  addTdeRoutes(app, ports);
  addAuditRoutes(app, ports);
}
