import { readdir, readlink, realpath } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join, sep } from 'node:path';
import { NodeError, PlanError, UsageError, type Random } from '@tidemark/core';
import type { RestoreTarget } from '@tidemark/restorer';
import { readSecret, type Config } from '@tidemark/workspace';
import { localServers } from './local-folder.ts';
import type { SecretFolder } from './secrets.ts';

/** Servers of restores that run on a host at a time; each holds a dataset in memory. */
const SERVERS_MAX = 16;

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

/**
 * A server that a job starts on this host: it asks for a password from its first moment on, which lies in the
 * folder of secrets (`restoreRef`), on a port of `[clone] ports`.
 * @param memoryBytes - What the data need; 0: not known.
 * @throws NodeError `TM_PROVISION` where as many as may run do; PlanError `TM_TARGET_MEMORY`.
 */
export async function newServerOf(
  asked: { readonly job: string; readonly port: number | null; readonly memoryBytes: number },
  config: Pick<Config, 'clone' | 'stateDir'>,
  secrets: SecretFolder,
  random: Random,
): Promise<RestoreTarget> {
  const { job, port, memoryBytes } = asked;
  checkNewPort(port, config);
  const total = totalmem();
  if (memoryBytes > total) {
    throw new PlanError('TM_TARGET_MEMORY', 'this machine has less memory than the data need', {
      context: { needed: memoryBytes, total },
      hint: 'name a server on another host',
    });
  }
  const running = await serversIn(join(config.stateDir, 'servers'));
  if (running >= SERVERS_MAX) {
    throw new NodeError('TM_PROVISION', 'too many servers of earlier restores run on this host', {
      context: { reason: 'servers', running, most: SERVERS_MAX },
      hint: `end those in ${join(config.stateDir, 'servers')} that nobody needs (SHUTDOWN)`,
    });
  }
  const name = restoreRef(job);
  await secrets.keepNew(name, random);
  const passwordFile = secrets.path(name);
  const closed = { password: await readSecret(passwordFile), passwordFile };
  const { from, to } = config.clone.ports;
  const taken = new Set((await localServers(config.clone.dir)).map((each) => each.port));
  const all = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  const ports = port === null ? all.filter((each) => !taken.has(each)) : [port];
  return { kind: 'new', port: port ?? 0, ports, dir: null, closed };
}

/** How many servers work in folders of a folder. @see proc(5), /proc/pid/cwd */
async function serversIn(root: string): Promise<number> {
  const wanted = await realpath(root).catch(() => null);
  if (wanted === null) return 0;
  const pids = (await readdir('/proc').catch((): string[] => [])).filter((name) =>
    /^\d+$/.test(name),
  );
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')));
  return new Set(places.filter((place) => place.startsWith(wanted + sep))).size;
}
