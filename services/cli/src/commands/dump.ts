import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { NodeAddress } from '@tidemark/client';
import { TidemarkError } from '@tidemark/core';
import { dumpNode, refuseTdeNode, type ConfiguredNode, type DumpedFile } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { instanceTarget, loadConfig, type Config } from '../config/load.ts';
import { secretSource } from '../config/secret.ts';
import { locateNode } from '../config/node-place.ts';
import { Workspace, type Invocation } from '../context.ts';
import { formatBytes } from '../output/table.ts';
import type { SentinelFlags } from '../program/sentinel-flags.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { sentinelTableOf } from './sentinel-flags.ts';
import { configuredAddress } from './spared-original.ts';
import { tlsTableOf } from './tls-flags.ts';

/** Flags of `dump`. */
export interface DumpFlags extends TlsFlags, SentinelFlags {
  readonly url: string;
  readonly passFile?: string;
  readonly force?: boolean;
}

/** What `-c` is when nobody says it: no configuration is needed then. */
const DEFAULT_CONFIG = 'tidemark.toml';

/** Writes the dataset of a node into a plain RDB file, over replication. */
export async function dumpCommand(
  file: string,
  flags: DumpFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const { passFile } = flags;
  const entry = {
    ...{ id: 'dump', url: flags.url, source: 'psync' as const },
    ...tlsTableOf(flags),
    ...sentinelTableOf(flags),
    ...(passFile === undefined ? {} : { password_file: secretSource(passFile, '.') }),
  };
  const target = await instanceTarget(entry, resolve(DEFAULT_CONFIG));
  try {
    const address = await locateNode(target, signal);
    const mayCopy = await copyGuard(address, invocation);
    printer.progress('the node makes a snapshot');
    const request = { address, path: resolve(file), replace: flags.force === true };
    const done = await dumpNode(request, {
      ...{ clock: systemClock, random: systemRandom, signal, mayCopy },
      onProgress: (bytes, total) =>
        printer.progress(
          `${formatBytes(bytes)}${total === null ? '' : ` of ${formatBytes(total)}`}`,
        ),
    }).catch(sayForce);
    printResult(done, invocation);
  } finally {
    target.address.tls?.[Symbol.dispose]();
  }
}

function sayForce(cause: unknown): never {
  if (!(cause instanceof TidemarkError) || cause.code !== 'TM_EXISTS') throw cause;
  throw new TidemarkError('TM_EXISTS', cause.message, {
    context: cause.context,
    hint: 'name another file, or --force to replace it',
  });
}

function printResult(
  { path, bytes, summary, replid, offset }: DumpedFile,
  { printer }: Invocation,
): void {
  const { product, version, keys, databases } = summary;
  const document = {
    ...{ file: path, bytes, keys, databases },
    format: { product, version },
    ...{ replid, offset: offset.toString() },
  };
  printer.result(document, () => [
    `${path}: ${formatBytes(bytes)}, ${keys.toString()} keys, RDB ${version.toString()}, whole and checked`,
    `it is the state at offset ${offset.toString()} of ${replid}; the file is not encrypted`,
  ]);
}

/** Refuses a node of an instance with TDE, by what the configuration here knows. */
async function copyGuard(
  address: NodeAddress,
  invocation: Invocation,
): Promise<(replid: string | null) => Promise<void>> {
  const config = await configHere(invocation.configPath);
  if (config === null || config.instances.length === 0) return () => Promise.resolve();
  const configured: ConfiguredNode[] = [];
  for (const { id } of config.instances) {
    configured.push({ instance: id, address: await configuredAddress(id, config) });
  }
  return async (replid) => {
    using workspace = await Workspace.open(invocation);
    const { signal } = invocation;
    await workspace.sync(signal);
    const { store, keys, catalog } = workspace;
    const environment = { store, keys, catalog, signal, stateDir: config.stateDir };
    await refuseTdeNode({ address, replid }, configured, environment);
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
