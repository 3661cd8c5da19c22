import { join } from 'node:path';
import { UsageError, type Clock, type Random } from '@tidemark/core';
import type { RestoreTarget } from '@tidemark/restorer';
import { readSecret, type Config } from '@tidemark/workspace';
import { serversRoot, writeRestoreNote, type RestoreNote } from './host-servers.ts';
import { portsLeft } from './local-server.ts';
import { reserveServer } from './reserve-server.ts';
import type { SecretFolder } from './secrets.ts';
import { thisStarter } from './server-processes.ts';

/** The file with the password of the server that a job of a restore starts. */
export const restoreRef = (job: string): string => `restore-${job}.pass`;

/** @throws UsageError `TM_USAGE` for a port that is not among `[clone] ports`. */
export function checkNewPort(port: number | null, { clone }: Pick<Config, 'clone'>): void {
  const { from, to } = clone.ports;
  if (port === null || (port >= from && port <= to)) return;
  throw new UsageError('TM_USAGE', `port ${port} is not among those for new servers`, {
    context: { port, from, to, pointer: '/target/port' },
    hint: 'see [clone] ports in tidemark.toml',
  });
}

/** A server that a job of a restore wants. */
export interface NewServer {
  readonly job: string;
  /** Id of the restore: the folder of the server has its name. */
  readonly restore: string;
  readonly instance: string;
  readonly port: number | null;
  /** What the data need; 0: not known. */
  readonly memoryBytes: number;
}

/**
 * A server that a job starts on this host: it asks for a password from its first moment on, which lies in the
 * folder of secrets (`restoreRef`), on a port of `[clone] ports`. Its place among the servers of the host is its
 * own when this returns; what calls the restore off (`endLeftServer`) gives that back.
 * @throws As `reserveServer`.
 */
export async function newServerOf(
  asked: NewServer,
  config: Pick<Config, 'clone' | 'stateDir'>,
  secrets: SecretFolder,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<RestoreTarget> {
  const { job, restore, instance, port, memoryBytes } = asked;
  checkNewPort(port, config);
  const passwordRef = restoreRef(job);
  const note: RestoreNote = {
    ...{ version: 1, job, instance, memoryBytes, passwordRef, createdMs: clock.nowMs() },
    by: await thisStarter(),
  };
  let ports: readonly number[] = [];
  await reserveServer({ kind: 'restore', id: restore, memoryBytes }, config, async (others) => {
    ports = port === null ? portsLeft(config.clone.ports, others) : [port];
    await writeRestoreNote(join(serversRoot(config), restore), note);
  });
  await secrets.keepNew(passwordRef, random);
  const passwordFile = secrets.path(passwordRef);
  const closed = { password: await readSecret(passwordFile), passwordFile };
  return { kind: 'new', port: port ?? 0, ports, dir: null, closed };
}
