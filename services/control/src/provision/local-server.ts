import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { connectNode, startServer, type NodeAddress } from '@tidemark/client';
import { NodeError, UsageError, type Clock, type Random } from '@tidemark/core';
import { readSecret, type Config } from '@tidemark/workspace';
import { hostName } from '../jobs/host-name.ts';
import type { HostServer } from './host-servers.ts';
import {
  endProcesses,
  processesIn,
  readNote,
  removeFolder,
  writeNote,
  type LocalNote,
} from './local-folder.ts';
import type { Provisioned, ProvisionRequest, Provisioner, ServerTlsRefs } from './provisioner.ts';
import { reserveServer } from './reserve-server.ts';
import type { SecretFolder } from './secrets.ts';
import { thisStarter } from './server-processes.ts';

/** The user that loads a clone; it is taken away when the clone is handed over. */
export const LOADER = 'tidemark-loader';
const DATABASES_MIN = 16;

/** Where and how servers are started on this host. */
export interface LocalSettings {
  readonly config: Pick<Config, 'stateDir' | 'clone'>;
  readonly secrets: SecretFolder;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Starts servers on this host, each in a folder of its own named after its job. They outlive this
 * process. Until a clone is handed over nobody but the loader gets in beside those who know its
 * password, and nothing of it is on a disk.
 */
export function localServer(settings: LocalSettings): Provisioner {
  return {
    async provision(request) {
      const { target } = request;
      if (target.kind !== 'local')
        throw new UsageError('TM_USAGE', 'no local server was asked for');
      return (await findRunning(request, settings)) ?? (await startOne(request, settings));
    },
    async release(request) {
      const dir = folderOf(request, settings);
      await endProcesses(dir, false);
      await removeFolder(dir);
      await settings.secrets.forget(loaderRef(request));
      await settings.secrets.forget(madeRef(request));
    },
  };
}

/** The folder of the server that a job starts. */
export const folderOf = (
  { id }: { readonly id: string },
  { config }: { readonly config: Pick<Config, 'clone'> },
): string => join(config.clone.dir, id);
/** Where the password of the loader is kept until the clone is handed over. */
export const loaderRef = ({ id }: { readonly id: string }): string => `loader-${id}.pass`;

/** The password of a server that was asked for without one. */
export const madeRef = ({ id }: { readonly id: string }): string => `clone-${id}.pass`;

/** Over its unix socket, which only this user may open: TLS or not, its clients need not include us. */
const socketUrl = (dir: string): string =>
  `unix://${LOADER}@${join(dir, 'server.sock').split('/').map(encodeURIComponent).join('/')}`;

function refuseTakenName({ name }: ProvisionRequest, others: readonly HostServer[]): void {
  if (!others.some((each) => each.kind === 'clone' && each.name === name)) return;
  throw new UsageError('TM_EXISTS', `a clone with the name ${name} exists on this host`, {
    hint: 'tidemark servers list',
  });
}

/** The server that an earlier attempt has started. One that does not answer any more is ended. */
async function findRunning(
  request: ProvisionRequest,
  settings: LocalSettings,
): Promise<Provisioned | null> {
  const dir = folderOf(request, settings);
  const note = await readNote(dir);
  if (note !== null && (await processesIn(dir)).length > 0) {
    const answers = await connectLoader(dir, request, settings).then(
      () => true,
      () => false,
    );
    if (answers) {
      const own = { ...note, ...(await makerOf(settings)) };
      await writeNote(dir, own);
      return provisioned(own, dir, request);
    }
  }
  await endProcesses(dir, false);
  await removeFolder(dir);
  return null;
}

/** Who has it made, as its note says. */
async function makerOf({
  config,
  random,
}: LocalSettings): Promise<Pick<LocalNote, 'by' | 'owner'>> {
  return { by: await thisStarter(), owner: await hostName(config.stateDir, random) };
}

async function connectLoader(
  dir: string,
  request: ProvisionRequest,
  { secrets }: LocalSettings,
): Promise<void> {
  const address: NodeAddress = {
    ...{ host: 'localhost', port: 0, path: join(dir, 'server.sock'), username: LOADER },
    password: await secrets.read(loaderRef(request)),
  };
  await using client = await connectNode(address, { timeoutMs: 5_000 });
  await client.call('PING');
}

async function startOne(request: ProvisionRequest, settings: LocalSettings): Promise<Provisioned> {
  const { secrets, random } = settings;
  const dir = folderOf(request, settings);
  const tls = request.target.kind === 'local' ? request.target.tls : null;
  const { ports, note } = await reserve(request, settings);
  await secrets.keepNew(loaderRef(request), random);
  if (request.passwordRef === madeRef(request)) await secrets.keepNew(madeRef(request), random);
  const config = await configOf(request, tls, settings);
  for (const port of ports) {
    const own = { ...note, port };
    await writeNote(dir, own);
    try {
      await startServer({
        ...{ dir, config, detached: true, unixSocket: true },
        ...(tls === null ? { port } : { tlsPort: port }),
      });
      return provisioned(own, dir, request);
    } catch (cause) {
      const log = cause instanceof NodeError ? String(cause.context['log'] ?? '') : '';
      if (!/address already in use/i.test(log)) throw cause;
    }
  }
  const { from, to } = settings.config.clone.ports;
  throw new NodeError('TM_PROVISION', 'no port is free for a new server', {
    context: { reason: 'ports', from, to },
    hint: 'end a server that nobody needs (tidemark servers list), or widen [clone] ports',
  });
}

/** Name and memory are its own from here on. */
async function reserve(
  request: ProvisionRequest,
  settings: LocalSettings,
): Promise<{ readonly ports: readonly number[]; readonly note: LocalNote }> {
  const { config, clock } = settings;
  const { id, instance, name, passwordRef, memoryBytes, target } = request;
  const tls = target.kind === 'local' && target.tls !== null;
  const note: LocalNote = {
    ...{ version: 1, id, instance, name, host: config.clone.host, port: 0, tls, state: 'loading' },
    ...{ createdMs: clock.nowMs(), memoryBytes, passwordRef },
    ...(await makerOf(settings)),
  };
  let ports: readonly number[] = [];
  await reserveServer({ kind: 'clone', id, memoryBytes }, config, async (others) => {
    refuseTakenName(request, others);
    ports = portsFor(request, config.clone.ports, others);
    await writeNote(folderOf(request, settings), note);
  });
  return { ports, note };
}

/** Those of servers that are stopped for now stay theirs. */
function portsFor(
  { target }: ProvisionRequest,
  { from, to }: Config['clone']['ports'],
  others: readonly HostServer[],
): readonly number[] {
  if (target.kind === 'local' && target.port !== null) {
    if (target.port >= from && target.port <= to) return [target.port];
    throw new UsageError('TM_USAGE', `port ${target.port} is not among those for clones`, {
      context: { port: target.port, from, to },
      hint: 'see [clone] ports in tidemark.toml',
    });
  }
  return portsLeft({ from, to }, others);
}

/** Ports of a range that no server has that was started here. */
export function portsLeft(
  { from, to }: Config['clone']['ports'],
  others: readonly HostServer[],
): readonly number[] {
  const taken = new Set(others.map(({ address }) => address?.port));
  const all = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  return all.filter((port) => !taken.has(port));
}

async function configOf(
  request: ProvisionRequest,
  tls: ServerTlsRefs | null,
  { config, secrets, random }: LocalSettings,
): Promise<Record<string, string | readonly string[]>> {
  const { passwordRef, databases } = request;
  const loader = await readSecret(secrets.path(loaderRef(request)));
  // Whatever its password is to be in the end, nobody gets in while it is loaded.
  const password =
    passwordRef === null ? random.bytes(32).toString('hex') : await secrets.read(passwordRef);
  return {
    bind: config.clone.host,
    databases: Math.max(DATABASES_MIN, databases).toString(),
    appendonly: 'no',
    save: '',
    user: `${LOADER} on #${sha256(loader)} ~* &* +@all`,
    requirepass: password,
    ...(tls === null ? {} : await tlsConfig(tls, secrets)),
  };
}

async function tlsConfig(
  { cert, key, ca, clients }: ServerTlsRefs,
  secrets: SecretFolder,
): Promise<Record<string, string>> {
  const [first, ...more] = ca;
  if (first === undefined || more.length > 0) {
    throw new UsageError('TM_TLS_SETTINGS', 'a new server with TLS needs one file of authorities', {
      hint: 'name the certificate, its key and the file with its authorities',
    });
  }
  return {
    'tls-cert-file': await secrets.require(cert),
    'tls-key-file': await secrets.require(key),
    'tls-ca-cert-file': await secrets.require(first),
    'tls-auth-clients': clients === 'required' ? 'yes' : clients,
  };
}

function provisioned(note: LocalNote, dir: string, request: ProvisionRequest): Provisioned {
  const host = note.host.includes(':') ? `[${note.host}]` : note.host;
  return {
    kind: 'local',
    url: socketUrl(dir),
    serverName: null,
    passwordRef: loaderRef(request),
    tls: null,
    publicUrl: `${note.tls ? 'rediss' : 'redis'}://${host}:${note.port}`,
    ownedBy: 'host',
    dir,
  };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
