import {
  createInstance,
  listInstanceIds,
  openInstanceLog,
  type BackupPolicy,
} from '@tidemark/catalog';
import { parseNodeUrl } from '@tidemark/client';
import { UsageError, type Clock, type Random } from '@tidemark/core';
import { addInstance, loadConfig, type InstanceEntry, type Workspace } from '@tidemark/workspace';
import type { CloneRequest } from './clone-request.ts';
import type { ProvisionRequest, Provisioned } from '../provision/provisioner.ts';
import type { SecretFolder } from '../provision/secrets.ts';

/** What a clone is taken into the configuration with. */
export interface RegisterParts {
  readonly workspace: Workspace;
  readonly secrets: SecretFolder;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** What an instance is registered with beside its place. */
export interface RegisteredWith {
  readonly policy: BackupPolicy | null;
  /** The name of an actor. */
  readonly by: string;
  /** When its job was asked for: it says which job made the record of an instance. */
  readonly createdMs: number;
  readonly login: CloneRequest['login'];
}

/**
 * Refuses a name under which another instance is known.
 * @throws UsageError `TM_EXISTS`.
 */
export async function refuseKnownInstance(
  name: string,
  { config, store }: Workspace,
): Promise<void> {
  const { instances } = await loadConfig(config.path);
  const isKnown =
    instances.some(({ id }) => id === name) || (await listInstanceIds(store)).includes(name);
  if (!isKnown) return;
  throw new UsageError('TM_EXISTS', `an instance with the name ${name} is known`, {
    hint: 'choose another name for the new one',
  });
}

/**
 * Takes a clone under protection, by replication, as an instance with its name and the backup policy of
 * its source. May be done again.
 * @throws UsageError `TM_EXISTS` when an instance of this name is another server, or another job made it.
 */
export async function registerClone(
  asked: ProvisionRequest,
  provisioned: Provisioned,
  rest: RegisteredWith,
  parts: RegisterParts,
): Promise<void> {
  const { policy, by, login } = rest;
  const { workspace, clock, random, signal } = parts;
  const { store, keys, config } = workspace;
  const iid = asked.name;
  const known = (await loadConfig(config.path)).instances.find(({ id }) => id === iid);
  const madeMs = await recordedMs(iid, parts);
  const isOther = known !== undefined && known.url !== registeredUrl(provisioned);
  if (isOther || (madeMs !== null && madeMs !== rest.createdMs)) throw taken(iid);
  const logKey = await keys.logKey(iid);
  const log = await createInstance({
    ...{ store, iid, logKey, clock, random, signal },
    ...{ name: iid, createdMs: rest.createdMs },
  });
  if (policy !== null) {
    await log.append((state) =>
      state.policy === null ? { type: 'PolicySet', policy, by, atMs: clock.nowMs() } : null,
    );
  }
  if (known !== undefined) return;
  await addInstance(config.path, entryOf(asked, provisioned, login, parts.secrets));
}

/** Where an instance that is this server is captured, as its entry says. */
export function registeredUrl({ publicUrl }: Pick<Provisioned, 'publicUrl'>): string {
  const { username } = parseNodeUrl(publicUrl);
  return username === undefined ? publicUrl : publicUrl.replace(/\/\/[^@/]*@/, '//');
}

function taken(name: string): UsageError {
  return new UsageError('TM_EXISTS', `${name} is another instance by now`, {
    context: { instance: name },
    hint: 'clone with another name: this server is not protected, and is taken back',
  });
}

/** When the record of an instance says that it was made; an attempt that was killed may have made it. */
async function recordedMs(
  iid: string,
  { workspace, clock, random }: RegisterParts,
): Promise<number | null> {
  const { store, keys } = workspace;
  if (!(await listInstanceIds(store)).includes(iid)) return null;
  const log = await openInstanceLog({ store, iid, logKey: await keys.logKey(iid), clock, random });
  return log.state.createdMs;
}

function entryOf(
  { name, target, passwordRef }: ProvisionRequest,
  { publicUrl, kind, passwordRef: ownRef, tls, serverName }: Provisioned,
  login: CloneRequest['login'],
  secrets: SecretFolder,
): InstanceEntry {
  const { username: named } = parseNodeUrl(publicUrl);
  const username = login === null ? named : (login.user ?? undefined);
  const url = registeredUrl({ publicUrl });
  const ofAddress =
    kind === 'local' || (kind === 'address' && username === undefined) ? passwordRef : ownRef;
  const file = login === null ? ofAddress : login.passwordRef;
  const local = target.kind === 'local' ? target.tls : null;
  const ca = local?.ca ?? tls?.ca ?? [];
  const certName = local?.serverName ?? tls?.serverName ?? serverName;
  return {
    ...{ id: name, url, source: 'psync' },
    ...(username === undefined ? {} : { user: username }),
    ...(file === null ? {} : { password_file: secrets.path(file) }),
    ...(ca.length === 0 ? {} : { tls_ca_file: ca.map((each) => secrets.path(each)) }),
    ...(certName === null || !url.startsWith('rediss:') ? {} : { tls_server_name: certName }),
  };
}
