import type { LocalJobDesk } from '../jobs/job-desk.ts';
import { namelessHandler, privateHandler } from '../jobs/private-handler.ts';
import { backupHandler } from './backup.ts';
import { expireHandler } from './expire.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { restoreHandler } from './restore.ts';
import { rewrapHandler } from './rewrap.ts';
import { verifyHandler } from './verify.ts';
import { writeBackHandler } from './write-back.ts';

/** Tells the desk who does the jobs of each kind. */
export function useHandlers(desk: LocalJobDesk, ports: HandlerPorts): void {
  const { workspace, random } = ports;
  const parts = { keys: workspace.keys, random };
  for (const make of [restoreHandler, writeBackHandler]) {
    desk.use(privateHandler(make(ports), parts));
  }
  for (const make of [backupHandler, rewrapHandler, verifyHandler, expireHandler]) {
    desk.use(namelessHandler(make(ports)));
  }
}
