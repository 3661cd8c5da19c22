import type { LocalJobDesk } from '../jobs/job-desk.ts';
import { backupHandler } from './backup.ts';
import { expireHandler } from './expire.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { restoreHandler } from './restore.ts';
import { rewrapHandler } from './rewrap.ts';
import { verifyHandler } from './verify.ts';
import { writeBackHandler } from './write-back.ts';

/** Tells the desk who does the jobs of each kind. */
export function useHandlers(desk: LocalJobDesk, ports: HandlerPorts): void {
  const handlers = [
    backupHandler,
    restoreHandler,
    writeBackHandler,
    rewrapHandler,
    verifyHandler,
    expireHandler,
  ];
  for (const make of handlers) desk.use(make(ports));
}
