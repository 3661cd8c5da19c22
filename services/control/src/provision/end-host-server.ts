import { NodeError, TidemarkError, UsageError } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import type { Actor, JobDesk } from '../jobs/job.ts';
import { hostServers, type HostServer } from './host-servers.ts';
import { isFileConfigured } from './configured-files.ts';
import { instanceOfServer } from './instance-of-server.ts';
import { readNote, removeFolder, writeNote } from './local-folder.ts';
import { loaderRef, madeRef } from './local-server.ts';
import { restoreRef } from './new-server.ts';
import type { SecretFolder } from './secrets.ts';
import { endServer } from './server-processes.ts';

/** What a server is ended with. */
export interface EndParts {
  readonly workspace: Pick<Workspace, 'config' | 'catalog'>;
  readonly jobs: Pick<JobDesk, 'get'>;
  readonly audit: Audit;
  readonly secrets: SecretFolder;
}

/**
 * The server of a name, or of the name of its folder.
 * @throws UsageError `TM_NOT_FOUND`; `TM_USAGE` when two have the name.
 */
export async function hostServer(
  name: string,
  { config }: Pick<Workspace, 'config'>,
): Promise<HostServer> {
  const all = await hostServers(config);
  const found = all.filter((server) => server.name === name || server.id === name);
  const [server, ...more] = found;
  if (server === undefined) {
    throw new UsageError('TM_NOT_FOUND', `no server ${name} was started on this host`, {
      hint: 'tidemark servers list',
    });
  }
  if (more.length === 0) return server;
  throw new UsageError('TM_USAGE', `${found.length} servers have the name ${name}`, {
    hint: 'name one by the name of its folder: tidemark servers list',
  });
}

/**
 * Ends a server that Tidemark started on this host, as its owner would; with `withData` its folder goes too, and
 * the password that it had of its own. Nothing but that server is touched.
 * @returns It as it was.
 * @throws As `hostServer`; NodeError `TM_BUSY` while a job has it made, or where it is the node of an instance;
 *   `TM_SERVER_START` when it does not end.
 */
export async function endHostServer(
  name: string,
  withData: boolean,
  actor: Actor,
  { workspace, jobs, audit, secrets }: EndParts,
): Promise<HostServer> {
  const server = await hostServer(name, workspace);
  refuseBusy(server, jobs);
  await refuseProtected(server, workspace, secrets);
  const { kind, id, dir, job, instance } = server;
  const detail = `${kind} ${id}${withData ? ', with its data' : ''}`;
  audit.append({ actor, action: 'server.end', instance, job, detail });
  if (!(await endServer(dir))) {
    throw new NodeError('TM_SERVER_START', `the server ${name} does not end`, {
      context: { pid: server.pid },
      hint: `look at ${dir}, or kill the process`,
    });
  }
  if (!withData) await keepData(server);
  else {
    await removeFolder(dir);
    const own = kind === 'clone' ? [loaderRef({ id }), madeRef({ id })] : [restoreRef(job ?? id)];
    for (const file of own) {
      const isNamed = await isFileConfigured(secrets.path(file), workspace.config.path);
      if (!isNamed) await secrets.forget(file);
    }
  }
  return server;
}

/** So that they stay where its job is found to be done elsewhere. */
async function keepData({ kind, dir }: HostServer): Promise<void> {
  const note = kind === 'clone' ? await readNote(dir) : null;
  if (note !== null) await writeNote(dir, { ...note, kept: true });
}

function refuseBusy({ name, state, job }: HostServer, jobs: EndParts['jobs']): void {
  // One that waits for its promotion is starting, and its job has ended.
  const isMade = job === null ? state === 'starting' : isOpen(job, jobs);
  if (!isMade) return;
  throw new NodeError('TM_BUSY', `the server ${name} is being made`, {
    context: { job },
    hint:
      job === null ? 'wait for its restore' : `wait for its job, or: tidemark job cancel ${job}`,
  });
}

/** A job that is kept no more has ended. */
function isOpen(job: string, jobs: EndParts['jobs']): boolean {
  try {
    return jobs.get(job).endedMs === null;
  } catch (cause) {
    if (cause instanceof TidemarkError && cause.code === 'TM_NOT_FOUND') return false;
    throw cause;
  }
}

/** A clone may be under protection itself. */
async function refuseProtected(
  server: HostServer,
  workspace: EndParts['workspace'],
  secrets: SecretFolder,
): Promise<void> {
  const its = await instanceOfServer(server, workspace, secrets);
  if (its === null) return;
  throw new NodeError('TM_BUSY', `the server ${server.name} is the node of ${its}`, {
    context: { instance: its },
    hint: `release that first: tidemark instance remove ${its}`,
  });
}
