import {
  serveArchiver,
  stderrLogger,
  type FleetSettings,
  type InstanceTarget,
  type UnreadInstance,
} from '@tidemark/archiver';
import {
  ASKED,
  type Config,
  eventsAccess,
  type InstanceEntry,
  instanceTarget,
  loadConfig,
  OpenedTls,
  retentionRules,
  tlsLog,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';

/** Runs the archiver in the foreground until SIGTERM or Ctrl-C. */
export async function serve(
  options: { readonly takeOver: boolean },
  invocation: Invocation,
): Promise<void> {
  const config = await loadConfig(invocation.configPath);
  const logger = stderrLogger({ service: 'archiver' });
  using opened = new OpenedTls();
  const targetOf = async (entry: InstanceEntry, path: string): Promise<InstanceTarget> => {
    const target = await instanceTarget(entry, path, tlsLog(entry.id, logger));
    opened.keep(entry.id, target.address.tls);
    return target;
  };
  // What cannot be read for one instance stops no other one: it is tried again.
  const instanceOf = async (
    entry: InstanceEntry,
    path: string,
  ): Promise<InstanceTarget | UnreadInstance> =>
    isAsked(entry) ? targetOf(entry, path) : { id: entry.id, read: () => targetOf(entry, path) };
  const instances = await Promise.all(
    config.instances.map((entry) => instanceOf(entry, config.path)),
  );
  const { store, keys, stateDir, spoolBytesMax, limits } = config;
  await serveArchiver(
    {
      store,
      keys,
      stateDir,
      spoolBytesMax,
      limits,
      instances,
      takeOver: options.takeOver,
      flashback: config.policy.policy.flashback,
      retention: config.expires ? retentionRules(config) : null,
      metrics:
        config.archiverMetrics === null
          ? null
          : {
              listen: config.archiverMetrics,
              retainSeconds: retentionRules(config).retainSeconds,
            },
      fleet: fleetOf(config),
      findInstance: async (id) => {
        const now = await loadConfig(invocation.configPath);
        const entry = now.instances.find((known) => known.id === id);
        return entry === undefined ? null : instanceOf(entry, now.path);
      },
    },
    invocation.signal,
  );
}

/** AOF files are read where they lie: only what is captured by replication can go elsewhere. */
function fleetOf({ fleet, events, instances }: Config): FleetSettings | null {
  if (!fleet || events === null) return null;
  const shared = instances.filter(({ source }) => source === 'psync').map(({ id }) => id);
  return { isShared: (id) => shared.includes(id), bus: () => eventsAccess(events) };
}

/** A question on the terminal is put once, before anything runs. */
function isAsked({
  password_file: own,
  sentinel_password_file: ofSentinel,
}: InstanceEntry): boolean {
  return own === ASKED || ofSentinel === ASKED;
}
