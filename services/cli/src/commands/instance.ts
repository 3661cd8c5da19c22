import { resolve } from 'node:path';
import { probeAofDir } from '@tidemark/aof';
import {
  addNode as takeUpNode,
  attachNode,
  configuredEntry,
  instanceRows,
  nodeDocument,
  releaseInstance,
  type AddedNode,
} from '@tidemark/control';
import { isSafeName, UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { describeEntry, type InstanceEntry, loadConfig, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { cliActor } from './cli-actor.ts';
import { refuseAofFlags } from './psync-node.ts';
import type { SentinelFlags } from '../program/sentinel-flags.ts';
import { sentinelTableOf } from './sentinel-flags.ts';
import { keepSecret } from './keep-secret.ts';
import { tlsTableOf } from './tls-flags.ts';

const TIMESTAMPS = 'aof-timestamp-enabled';
const PORTS = { clock: systemClock, random: systemRandom };

/** Options of `tidemark instance add`. */
export interface AddOptions extends TlsFlags, SentinelFlags {
  readonly url: string;
  readonly passFile?: string;
  readonly source: 'aof' | 'psync';
  readonly aofDir?: string;
  readonly yes: boolean;
  /** The server keeps what a rewrite makes needless until it is archived. */
  readonly hold: boolean;
}

/** Checks a node and where it is captured from, and takes it into the configuration. */
export async function addNode(
  id: string,
  options: AddOptions,
  invocation: Invocation,
): Promise<void> {
  if (!isSafeName(id)) {
    throw new UsageError('TM_USAGE', `${JSON.stringify(id)} cannot be an instance id`, {
      hint: 'lower-case letters, digits and hyphens, at most 63',
    });
  }
  using workspace = await Workspace.open(invocation);
  const { config } = workspace;
  if (config.instances.some((known) => known.id === id)) {
    throw new UsageError('TM_EXISTS', `instance ${id} is configured already`, {
      hint: `to change it: tidemark instance remove ${id}, then add it again: its history goes on`,
    });
  }
  const { signal, printer } = invocation;
  const { passFile, sentinelPassFile } = options;
  await using kept = await keepSecret(passFile, config.stateDir, id);
  await using keptToo = await keepSecret(sentinelPassFile, config.stateDir, id, 'sentinel');
  const named = keptToo.source === null ? {} : { sentinelPassFile: keptToo.source };
  const entry = entryOf(id, { ...options, ...named }, kept.source);
  const added = await takeUpNode(
    { entry, switchTimestamps: options.yes },
    {
      ...{ ...PORTS, workspace, signal, by: cliActor().name },
      warn: (message) => printer.warn(message),
      progress: (message) => printer.progress(message),
      added: () => {
        kept.stays();
        keptToo.stays();
      },
    },
  );
  const attached = await attachNode(id, { workspace, signal });
  printer.result({ instance: id, ...added, attached }, () => [
    ...linesOf(entry, added),
    attached
      ? 'the running archiver has taken it up'
      : `next: tidemark -c ${invocation.configPath} serve archiver`,
  ]);
}

function linesOf({ id, aof_dir: aofDir = '' }: InstanceEntry, added: AddedNode): readonly string[] {
  const { product, version } = added;
  if (added.source === 'psync') {
    return [`${id}: ${product} ${version} (${added.role}), captured by replication`];
  }
  return [
    `${id}: ${product} ${version}, AOF in ${aofDir}`,
    `pins: ${added.pinClass}; time stamps in the AOF: ${added.timestamps}`,
  ];
}

function entryOf(id: string, options: AddOptions, secret: string | null): InstanceEntry {
  const { source, aofDir } = options;
  if (source === 'psync') refuseAofFlags(options);
  else if (aofDir === undefined) {
    throw new UsageError('TM_USAGE', 'the folder of the append-only files is not named', {
      hint: 'add --aof-dir PATH, or --source psync to capture by replication',
    });
  }
  return {
    id,
    url: options.url,
    ...(secret === null ? {} : { password_file: secret }),
    source,
    ...(aofDir === undefined ? {} : { aof_dir: resolve(aofDir) }),
    ...(options.hold ? { hold: true } : {}),
    ...tlsTableOf(options),
    ...sentinelTableOf(options),
  };
}

/** Stops protecting an instance; what is stored stays and can be restored. */
export async function removeNode(id: string, invocation: Invocation): Promise<void> {
  const { printer, signal } = invocation;
  using workspace = await Workspace.open(invocation);
  const warn = (message: string): void => printer.warn(message);
  await releaseInstance(id, { workspace, ...PORTS, signal, warn });
  printer.result({ instance: id, removed: true, historyKept: true }, () => [
    `${id} is no longer captured; its history stays in the store and can be restored`,
  ]);
}

/** Lists configured instances and those that only the store knows. */
export async function listInstances(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  await workspace.sync(invocation.signal);
  const rows = instanceRows(workspace.catalog, workspace.config);
  invocation.printer.result({ instances: rows }, () =>
    rows.length === 0
      ? ['no instances; add one with: tidemark instance add ID -u redis://HOST:PORT --aof-dir PATH']
      : table(
          ['INSTANCE', 'NODE', 'SOURCE', 'AOF FOLDER'],
          rows.map(({ id, url, source, aofDir }) => [
            ...[id, url ?? '(history only)', source ?? '-', aofDir ?? '-'],
          ]),
        ),
  );
}

/** Shows one instance: configuration and the facts of its node. */
export async function showInstance(id: string, invocation: Invocation): Promise<void> {
  const config = await loadConfig(invocation.configPath);
  const entry = configuredEntry(id, config);
  const found = await nodeDocument(entry, config.path, invocation.signal);
  const { node, aofDir, settings } = found;
  const { product, version, role } = node;
  const url = describeEntry(entry.url);
  const head = `${id}  ${url}  ${product} ${version} (${role})`;
  if (aofDir === null) {
    invocation.printer.result({ instance: id, url, source: 'psync', node }, () => [
      ...[head, 'captured by replication'],
    ]);
    return;
  }
  const probe = await probeAofDir(aofDir);
  const timestamps = settings?.[TIMESTAMPS] ?? 'unknown';
  const document = {
    instance: id,
    url,
    aofDir,
    source: 'aof',
    node,
    pinClass: probe.pinClass,
    timestamps,
  };
  invocation.printer.result(document, () => [
    head,
    `AOF folder ${aofDir}; pins: ${probe.pinClass}; time stamps: ${timestamps}`,
  ]);
}
