import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { InstanceTarget } from '@tidemark/archiver';
import type { NodeAddress } from '@tidemark/client';
import { configuredNodes } from '@tidemark/control';
import { refuseTdeNode } from '@tidemark/restorer';
import {
  type Config,
  instanceTarget,
  loadConfig,
  secretSource,
  Workspace,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import type { SentinelFlags } from '../program/sentinel-flags.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { sentinelTableOf } from './sentinel-flags.ts';
import { tlsTableOf } from './tls-flags.ts';

/** Flags of `dump` that say which node. */
export interface NodeFlags extends TlsFlags, SentinelFlags {
  readonly url: string;
  readonly passFile?: string;
}

/** What `-c` is when nobody says it: no configuration is needed then. */
const DEFAULT_CONFIG = 'tidemark.toml';

/** The node that is dumped, as its flags say it. Who has it ends its TLS. */
export async function dumpTarget(flags: NodeFlags): Promise<InstanceTarget> {
  const { url, passFile } = flags;
  const entry = {
    ...{ id: 'dump', url, source: 'psync' as const },
    ...tlsTableOf(flags),
    ...sentinelTableOf(flags),
    ...(passFile === undefined ? {} : { password_file: secretSource(passFile, '.') }),
  };
  return instanceTarget(entry, resolve(DEFAULT_CONFIG));
}

/** Refuses a node of an instance with TDE, by what the configuration here knows. */
export async function copyGuard(
  address: NodeAddress,
  invocation: Invocation,
): Promise<(replid: string | null) => Promise<void>> {
  const config = await configHere(invocation.configPath);
  if (config === null || config.instances.length === 0) return () => Promise.resolve();
  const configured = await configuredNodes(config);
  return async (replid) => {
    using workspace = await Workspace.open(invocation);
    const { signal } = invocation;
    await workspace.sync(signal);
    const { store, keys, catalog } = workspace;
    const environment = { store, keys, catalog, signal, stateDir: config.stateDir };
    const node = { address, replids: replid === null ? [] : [replid], runId: '' };
    await refuseTdeNode(node, configured, environment);
  };
}

async function configHere(path: string): Promise<Config | null> {
  if (path === DEFAULT_CONFIG) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (!isThere) return null;
  }
  return loadConfig(path);
}
