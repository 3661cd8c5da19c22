import { resolve } from 'node:path';
import { probeAofDir } from '@tidemark/aof';
import type { InstanceTarget } from '@tidemark/archiver';
import { createInstance, listInstanceIds } from '@tidemark/catalog';
import {
  checkRights,
  commandName,
  connectNode,
  readNodeFacts,
  type NodeClient,
} from '@tidemark/client';
import {
  checkPsyncNode,
  configuredEntry,
  findingText,
  instanceRows,
  nodeDocument,
  releaseInstance,
  sourceFindings,
  takeBackFromBin,
} from '@tidemark/control';
import { isSafeName, NodeError, UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import {
  addInstance,
  describeEntry,
  type InstanceEntry,
  instanceTarget,
  loadConfig,
  locateNode,
  SwitchedSettings,
  Workspace,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { checkAofPlace } from './aof-place.ts';
import { cliActor } from './cli-actor.ts';
import { refuseNodeUnderTde } from './configured-nodes.ts';
import { refuseAofFlags } from './psync-node.ts';
import type { SentinelFlags } from '../program/sentinel-flags.ts';
import { sentinelTableOf } from './sentinel-flags.ts';
import { keepSecret } from './keep-secret.ts';
import { tlsTableOf } from './tls-flags.ts';

const TIMESTAMPS = 'aof-timestamp-enabled';
const HOLD = 'aof-disable-auto-gc';
const PORTS = { clock: systemClock, random: systemRandom };
const OLDEST_VERSION = 60_000;

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
    throw new UsageError('TM_EXISTS', `instance ${id} is configured already`);
  }
  const { passFile, sentinelPassFile } = options;
  await using kept = await keepSecret(passFile, config.stateDir, id);
  await using keptToo = await keepSecret(sentinelPassFile, config.stateDir, id, 'sentinel');
  const named = keptToo.source === null ? {} : { sentinelPassFile: keptToo.source };
  const entry = entryOf(id, { ...options, ...named }, kept.source);
  const target = await instanceTarget(entry, config.path);
  await using client = await connectNode(await locateNode(target, invocation.signal), {
    signal: invocation.signal,
  });
  const added = { id, options, workspace, target, client, invocation };
  const [document, lines] = await (options.source === 'psync'
    ? addByLink(added)
    : addByFiles(added));
  await addInstance(config.path, entry);
  kept.stays();
  keptToo.stays();
  const options_ = { timeoutMs: 10_000, signal: invocation.signal };
  const attached = (await workspace.askArchiver('attach', id, options_)) !== null;
  invocation.printer.result({ instance: id, ...document, attached }, () => [
    ...lines,
    attached
      ? 'the running archiver has taken it up'
      : `next: tidemark -c ${invocation.configPath} serve archiver`,
  ]);
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

/** An instance that is being added. */
interface Adding {
  readonly id: string;
  readonly options: AddOptions;
  readonly workspace: Workspace;
  readonly target: InstanceTarget;
  readonly client: NodeClient;
  readonly invocation: Invocation;
}

/** What is said of an instance that was added: as a document, and in lines. */
type Added = readonly [Readonly<Record<string, unknown>>, readonly string[]];

async function addByFiles(adding: Adding): Promise<Added> {
  const { id, options, workspace, client, invocation, target } = adding;
  const { aofDir = '' } = target;
  const facts = await checkNode(client);
  await refuseNodeUnderTde(id, { client, facts }, workspace, invocation.signal);
  const probe = await probeAofDir(aofDir);
  await checkAofPlace(client, facts, probe);
  await warnOfCommandBases(client, invocation);
  await createRecord(workspace, id, invocation.signal);
  const settings = new SwitchedSettings(workspace.config.stateDir, id);
  const timestamps = await consentToTimestamps(client, options.yes, settings, invocation);
  if (options.hold) await switchHold(client, settings);
  const { version, product } = facts;
  const pinClass = probe.pinClass === 'held' && options.hold ? 'hold' : probe.pinClass;
  return [
    { source: 'aof', product, version, pinClass, timestamps },
    [
      `${id}: ${product} ${version}, AOF in ${aofDir}`,
      `pins: ${pinClass}; time stamps in the AOF: ${timestamps}`,
    ],
  ];
}

/** Nothing is changed on the node: what does not fit is said. */
async function addByLink({ id, workspace, client, invocation }: Adding): Promise<Added> {
  const facts = await checkPsyncNode(client);
  await refuseNodeUnderTde(id, { client, facts }, workspace, invocation.signal);
  const { product, version, role } = facts;
  invocation.printer.progress('the node is looked at for two seconds');
  const safety = await sourceFindings(client, facts, invocation.signal);
  for (const finding of safety) invocation.printer.warn(findingText(finding));
  await createRecord(workspace, id, invocation.signal);
  return [
    { source: 'psync', product, version, role, safety },
    [`${id}: ${product} ${version} (${role}), captured by replication`],
  ];
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

async function checkNode(client: NodeClient): Promise<Awaited<ReturnType<typeof readNodeFacts>>> {
  const facts = await readNodeFacts(client);
  if (facts.versionNumber < OLDEST_VERSION) {
    throw new NodeError('TM_NODE_VERSION', `${facts.product} ${facts.version} is too old`, {
      hint: 'capture of the append-only file needs Redis 6.0 or newer, or Valkey',
    });
  }
  // MULTI and EXEC: a sample is one transaction.
  const missing = await checkRights(client, [
    ['INFO'],
    ['CONFIG', 'GET', 'appendonly'],
    ['TIME'],
    ['MULTI'],
    ['EXEC'],
  ]);
  if (missing.length > 0) {
    throw new NodeError(
      'TM_NODE_RIGHTS',
      `the user may not run ${missing.map(commandName).join(', ')}`,
      {
        hint: 'the rule for a user that captures stands in docs/acl.md: ACL SETUSER capture …',
      },
    );
  }
  if (facts.config?.['appendonly'] !== 'yes') {
    throw new NodeError('TM_AOF_OFF', 'the append-only file of this node is off', {
      hint: 'switch it on: redis-cli CONFIG SET appendonly yes (and CONFIG REWRITE to keep it so)',
    });
  }
  return facts;
}

async function consentToTimestamps(
  client: NodeClient,
  yes: boolean,
  settings: SwitchedSettings,
  invocation: Invocation,
): Promise<'on' | 'switched-on' | 'off'> {
  const config = await client.configGet(TIMESTAMPS);
  if (!(TIMESTAMPS in config)) {
    invocation.printer.warn(
      `this server has no ${TIMESTAMPS} (7.0 has it): seconds are known only as closely as samples are taken (200 ms)`,
    );
    return 'off';
  }
  if (config[TIMESTAMPS] === 'yes') return 'on';
  if (yes) {
    await settings.switch(client, TIMESTAMPS, 'yes', 'no');
    return 'switched-on';
  }
  invocation.printer.warn(
    `${TIMESTAMPS} is off: seconds are then known only as closely as samples are taken (200 ms). ` +
      'Add the instance with --yes to switch it on; servers older than 7.0 cannot load such a log',
  );
  return 'off';
}

/** The consent is the flag itself; the archiver lets the files go once they are archived. */
async function switchHold(client: NodeClient, settings: SwitchedSettings): Promise<void> {
  const before = (await client.configGet(HOLD))[HOLD];
  if (before === undefined) {
    throw new NodeError('TM_NODE_VERSION', `this server has no ${HOLD} (7.0 has it)`, {
      hint: 'add the instance without --hold',
    });
  }
  await settings.switch(client, HOLD, 'yes', before);
}

/** Without an RDB in it a rewrite brings no snapshot. */
async function warnOfCommandBases(client: NodeClient, invocation: Invocation): Promise<void> {
  const config = await client.configGet('aof-use-rdb-preamble');
  if (config['aof-use-rdb-preamble'] !== 'no') return;
  invocation.printer.warn(
    'aof-use-rdb-preamble is off: a rewrite brings no snapshot, and a restore replays everything ' +
      'since the capture began. Better: CONFIG SET aof-use-rdb-preamble yes',
  );
}

async function createRecord(workspace: Workspace, iid: string, signal: AbortSignal): Promise<void> {
  const { store, keys } = workspace;
  const logKey = await keys.logKey(iid);
  const [clock, random] = [systemClock, systemRandom];
  const known = (await listInstanceIds(store)).includes(iid);
  if (known) {
    // Its history goes on, also that of one from the recycle bin.
    await takeBackFromBin(iid, cliActor().name, { workspace, clock, random }, signal);
    return;
  }
  const createdMs = clock.nowMs();
  await createInstance({ store, iid, logKey, clock, random, name: iid, createdMs });
}
