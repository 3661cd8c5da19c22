import { PlanError, type ErrorCode, type ErrorContext } from '@tidemark/core';
import { missingModules } from './module-support.ts';
import { rdbFormFor, type RdbData } from './rdb-support.ts';
import type { TargetFacts } from './target-facts.ts';

/** What a restore needs of its target. */
export interface TargetNeeds {
  /** Lowest `databases` setting that does. */
  readonly databases: number;
  /** The snapshot, as far as it decides who can load it. */
  readonly rdb: RdbData;
  /** Type names of modules in the snapshot. */
  readonly modules: readonly string[];
  /** Memory that the data takes in a server, in bytes; 0 when not known. */
  readonly dataBytes: number;
  /** Data of the target may be deleted. */
  readonly allowFlush: boolean;
  /** There is a certificate for a feed over TLS. Default false. */
  readonly feedTls?: boolean;
  /** Keys are taken away again before the target is handed over. Default false. */
  readonly trims?: boolean;
}

/** The first version with `repl-diskless-load` and users. */
const OLDEST_VERSION = 6_00_00;
/** Room that an evicting server must have beyond the data: it evicts before it is full. */
const EVICTION_HEADROOM = 1.1;

type Rule = (facts: TargetFacts, needs: TargetNeeds) => PlanError | null;

const refuse = (code: ErrorCode, message: string, context: ErrorContext, hint: string): PlanError =>
  new PlanError(code, message, { context, hint });

const versionRule: Rule = (facts) =>
  facts.versionNumber >= OLDEST_VERSION
    ? null
    : refuse(
        'TM_NODE_VERSION',
        `the target runs version ${facts.version}, 6.0 is the oldest that can be restored into`,
        { version: facts.version },
        'restore into a newer server',
      );

const clusterRule: Rule = (facts) =>
  facts.cluster
    ? refuse(
        'TM_TARGET_CLUSTER',
        'the target runs in cluster mode, which refuses REPLICAOF',
        {},
        'start the node with "cluster-enabled no", restore, then switch it on again',
      )
    : null;

const replicationRule: Rule = (facts) => {
  const { replicas, role, sentinels, master } = facts;
  if (role === 'replica') {
    return refuse(
      'TM_TARGET_REPLICAS',
      'the target is a replica itself',
      { masterHost: master?.host ?? null, masterPort: master?.port ?? null },
      'detach it first: REPLICAOF NO ONE',
    );
  }
  if (replicas.length > 0) {
    return refuse(
      'TM_TARGET_REPLICAS',
      `the target has ${String(replicas.length)} replicas or captures attached`,
      { replicas: replicas.length },
      'detach them first; they would lose their data with the target',
    );
  }
  if (sentinels > 0) {
    return refuse(
      'TM_TARGET_REPLICAS',
      `${String(sentinels)} Sentinels watch the target and would turn it around`,
      { sentinels },
      'take it out of Sentinel first: SENTINEL REMOVE <name>',
    );
  }
  return null;
};

const emptyRule: Rule = (facts, needs) => {
  const keys = facts.keyspace.reduce((sum, { keys: count }) => sum + count, 0);
  if (needs.allowFlush || (keys === 0 && facts.functions === 0)) return null;
  return refuse(
    'TM_TARGET_NOT_EMPTY',
    `the target holds ${keys === 1 ? '1 key' : `${String(keys)} keys`}` +
      (facts.functions > 0 ? ` and libraries of functions: ${String(facts.functions)}` : ''),
    { keys, functions: facts.functions },
    'choose an empty server, or say --yes to have it emptied first',
  );
};

const databasesRule: Rule = ({ databases }, needs) =>
  databases === null || databases >= needs.databases
    ? null
    : refuse(
        'TM_TARGET_DATABASES',
        `the target has ${String(databases)} databases, the data needs ${String(needs.databases)}`,
        { databases, needed: needs.databases },
        `set "databases ${String(needs.databases)}" in its configuration file and restart it`,
      );

const formatRule: Rule = (facts, needs) => {
  const form = rdbFormFor(facts, needs.rdb);
  if (form.loads) return null;
  const { product, version } = facts;
  return refuse(
    'TM_TARGET_RDB_VERSION',
    `the target, ${product} ${version}, has no ${form.lacks}, which the data need`,
    { target: product, version, lacks: form.lacks },
    form.hint,
  );
};

const modulesRule: Rule = (facts, needs) => {
  const loaded = facts.modules.map(({ name }) => name);
  const missing = missingModules(needs.modules, loaded);
  if (missing.length === 0) return null;
  return refuse(
    'TM_TARGET_MODULES',
    `the target lacks what brings ${missing.join(', ')}`,
    { missing: missing.join(','), loaded: loaded.join(',') },
    'load the modules that the source had',
  );
};

const memoryRule: Rule = (facts, needs) => {
  const { maxmemory, maxmemoryPolicy, systemMemory } = facts;
  const { dataBytes } = needs;
  const factor = maxmemoryPolicy === 'noeviction' ? 1 : EVICTION_HEADROOM;
  if (maxmemory > 0 && dataBytes * factor > maxmemory) {
    return refuse(
      'TM_TARGET_MEMORY',
      `the data takes about ${String(dataBytes)} bytes, maxmemory is ${String(maxmemory)} ` +
        `with ${maxmemoryPolicy}`,
      { dataBytes, maxmemory, policy: maxmemoryPolicy },
      'raise maxmemory: the server would evict or refuse writes once it is promoted',
    );
  }
  if (systemMemory > 0 && dataBytes > systemMemory) {
    return refuse(
      'TM_TARGET_MEMORY',
      `the data takes about ${String(dataBytes)} bytes, the machine has ${String(systemMemory)}`,
      { dataBytes, systemMemory },
      'restore into a larger machine',
    );
  }
  return null;
};

const settingsRule: Rule = (facts, needs) =>
  facts.tlsReplication && needs.feedTls !== true
    ? refuse(
        'TM_TARGET_SETTING',
        'the target replicates over TLS only (tls-replication yes)',
        { setting: 'tls-replication' },
        'give the feed a certificate that the target trusts: --feed-cert FILE --feed-key FILE, or set tls-replication to no for the time of the restore',
      )
    : null;

const RULES: readonly Rule[] = [
  versionRule,
  clusterRule,
  replicationRule,
  emptyRule,
  databasesRule,
  formatRule,
  modulesRule,
  memoryRule,
  settingsRule,
];

/** Everything that speaks against a target, the weightiest first; empty when nothing does. */
export function findRefusals(facts: TargetFacts, needs: TargetNeeds): readonly PlanError[] {
  return RULES.map((rule) => rule(facts, needs)).filter((refusal) => refusal !== null);
}
