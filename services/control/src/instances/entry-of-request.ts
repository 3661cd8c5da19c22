import { isSentinelUrl } from '@tidemark/client';
import { PlanError } from '@tidemark/core';
import type { Config, InstanceEntry } from '@tidemark/workspace';
import { checkTarget, pinnedUrl } from '../provision/allowed-targets.ts';
import { requireFor, type ServerPlaces } from '../provision/own-secrets.ts';
import type { SecretFolder } from '../provision/secrets.ts';
import type { NewInstance } from './add-instance.ts';

/** An instance as a request describes it: passwords and certificates by the names of their files. */
export interface RequestedInstance {
  readonly id: string;
  readonly url: string;
  readonly source: 'aof' | 'psync';
  readonly user?: string;
  readonly passwordRef?: string | null;
  readonly tls?: {
    readonly ca?: readonly string[];
    readonly cert?: string | null;
    readonly key?: string | null;
    readonly serverName?: string | null;
  } | null;
  readonly aofDir?: string;
  readonly hold?: boolean;
  readonly switchTimestamps?: boolean;
}

/** The rule for what is captured, as errors name it. */
export const SOURCES = { name: 'server.allow_sources', use: 'taken under protection by request' };

/**
 * The entry of the configuration that a request asks for. Its server is one of
 * `[server] allow_sources`: the name is looked up here, and what is looked at is that address.
 * @throws UsageError `TM_NOT_FOUND` for a file that is not in the folder of secrets, `TM_TARGET_DENIED` for one of
 *   Tidemark itself; PlanError `TM_TARGET_DENIED`; as `checkTarget` and `requireFor`.
 */
export async function instanceOfRequest(
  asked: RequestedInstance,
  secrets: SecretFolder,
  config: ServerPlaces & Pick<Config, 'allowSources'>,
): Promise<NewInstance> {
  const { id, url, source, user, aofDir, hold = false, switchTimestamps = false } = asked;
  if (isSentinelUrl(url)) {
    throw new PlanError('TM_TARGET_DENIED', 'a Sentinel set is not added by request', {
      hint: 'where its nodes are is told by others: tidemark instance add, on the host',
    });
  }
  const address = await checkTarget(url, config.allowSources, undefined, SOURCES);
  const { passwordRef = null, tls = null } = asked;
  const fileOf = async (name: string | null | undefined): Promise<string | null> =>
    name == null ? null : secrets.requireNamed(name);
  const password =
    passwordRef === null
      ? null
      : await requireFor(passwordRef, pinnedUrl(address), secrets, config);
  const ca = await Promise.all((tls?.ca ?? []).map((name) => secrets.requireNamed(name)));
  const [cert, key] = [await fileOf(tls?.cert), await fileOf(tls?.key)];
  const serverName = tls?.serverName ?? null;
  const entry: InstanceEntry = {
    ...{ id, url, source },
    ...(user === undefined ? {} : { user }),
    ...(password === null ? {} : { password_file: password }),
    ...(aofDir === undefined ? {} : { aof_dir: aofDir }),
    ...(hold ? { hold: true } : {}),
    ...(ca.length === 0 ? {} : { tls_ca_file: ca }),
    ...(cert === null ? {} : { tls_cert_file: cert }),
    ...(key === null ? {} : { tls_key_file: key }),
    ...(serverName === null ? {} : { tls_server_name: serverName }),
  };
  const { pinnedName, secure } = address;
  const named = secure === true && serverName === null && pinnedName !== undefined;
  const pinned: InstanceEntry = {
    ...entry,
    url: pinnedUrl(address),
    ...(named ? { tls_server_name: pinnedName } : {}),
  };
  return { entry, pinned, switchTimestamps };
}
