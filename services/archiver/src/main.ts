import { basename } from 'node:path';
import { pino } from 'pino';
import type { Bus, BusSettings } from '@tidemark/bus';
import { refuseUnverified, type Clock } from '@tidemark/core';
import { openKeys, type KeySettings } from '@tidemark/crypto';
import { openStore, type StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { Archiver } from './archiver.ts';
import { stepBack } from './background.ts';
import type { CaptureLimits } from './capture/capture-options.ts';
import type { ArchiverFleet } from './fleet/fleet-captures.ts';
import type { Logger } from './logger.ts';
import type {
  ArchiverMetrics,
  ArchiverMetricsOptions,
  MetricsPorts,
} from './metrics/archiver-metrics.ts';
import type { InstanceTarget, UnreadInstance } from './open-capture.ts';
import { keepRetention } from './retention/daily-retention.ts';
import type { RetentionRules } from './retention/retention-ports.ts';

/** Plain settings of an archiver process; no adapter among them. */
export interface ServeOptions {
  readonly stateDir: string;
  readonly store: StoreSettings;
  readonly keys: KeySettings;
  readonly spoolBytesMax: number;
  readonly limits: CaptureLimits;
  readonly takeOver: boolean;
  readonly instances: readonly (InstanceTarget | UnreadInstance)[];
  readonly findInstance: (id: string) => Promise<InstanceTarget | UnreadInstance | null>;
  /** Whether the log of an instance without a policy of its own is kept. */
  readonly flashback: boolean;
  /** Null: the archiver deletes nothing. */
  readonly retention: RetentionRules | null;
  /** Where metrics and health are shown; null: nowhere. */
  readonly metrics: ArchiverMetricsOptions | null;
  /** Null: it captures all its instances. */
  readonly fleet: FleetSettings | null;
}

/** How archivers share what they capture. */
export interface FleetSettings extends Pick<ArchiverFleet, 'isShared'> {
  /** How to reach the Kafka cluster; called again until it succeeds. */
  readonly bus: () => Promise<BusSettings>;
}

/**
 * Builds the adapters and runs an archiver in the foreground until the signal is aborted.
 * @throws UsageError `TM_TLS_SETTINGS` in a process that would verify nothing; as `Archiver.run`.
 */
export async function serveArchiver(options: ServeOptions, signal: AbortSignal): Promise<void> {
  refuseUnverified(process.env);
  stepBack();
  const {
    store: storeSettings,
    keys: keySettings,
    retention: rules,
    metrics,
    fleet,
    ...rest
  } = options;
  const [clock, random] = [systemClock, systemRandom];
  const logger = stderrLogger({ service: 'archiver' });
  const meters = metrics === null ? null : await openMetrics(metrics, { ...rest, clock, logger });
  const opened = await openStore(storeSettings, { random, clock });
  const openedKeys = await openKeys(keySettings, { random, clock });
  const store = meters?.store(opened) ?? opened;
  const keys = meters?.keys(openedKeys) ?? openedKeys;
  const archiver = new Archiver({
    ...rest,
    ...{ store, keys, clock, random, logger },
    ...(meters && { onEvent: (instance, event) => meters.note(instance, event) }),
    ...(fleet && { fleet: await openFleet(fleet, { clock, logger, stateDir: rest.stateDir }) }),
  });
  const over = new AbortController();
  const { stateDir } = rest;
  const ports = { stateDir, store, keys, clock, random, logger };
  const instances = (): readonly string[] => archiver.instances;
  const retention =
    rules === null
      ? Promise.resolve()
      : keepRetention({ ...ports, rules, instances }, AbortSignal.any([signal, over.signal]));
  try {
    // What another archiver has is its matter.
    const captures = (): ReturnType<typeof archiver.status> =>
      archiver.status().filter(({ state }) => state !== 'waiting');
    await using _shown =
      (await meters?.serve({ captures, gone: () => archiver.goneHosts, store, keys })) ?? null;
    await archiver.run(signal);
  } finally {
    over.abort(new Error('the archiver has ended'));
    await retention;
  }
}

/** Kafka is loaded only where it is used. */
async function openFleet(
  { bus, isShared }: FleetSettings,
  { clock, logger, stateDir }: { clock: Clock; logger: Logger; stateDir: string },
): Promise<ArchiverFleet> {
  const { openBus } = await import('@tidemark/bus');
  const { BusSharing } = await import('./fleet/bus-sharing.ts');
  const clientId = `tidemark-archiver-${basename(stateDir)}`;
  const open = async (): Promise<Bus> => openBus(await bus(), { clock, logger, clientId });
  return { isShared, sharing: new BusSharing({ open, clock, logger }) };
}

async function openMetrics(
  options: ArchiverMetricsOptions,
  ports: MetricsPorts,
): Promise<ArchiverMetrics> {
  const { ArchiverMetrics: Metrics } = await import('./metrics/archiver-metrics.ts');
  return Metrics.open(options, ports);
}

/**
 * JSON lines on standard error: standard output stays free for results. Each has `time` (RFC 3339),
 * `level` (info, warn, error), `service` and `msg`, a constant; what else it says are fields.
 */
export function stderrLogger(fields: { readonly service: string }): Logger {
  const wrap = (log: pino.Logger): Logger => ({
    info: (message, fields = {}) => log.info(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    error: (message, fields = {}) => log.error(fields, message),
    child: (fields) => wrap(log.child(fields)),
  });
  const settings = {
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  };
  return wrap(pino(settings, pino.destination({ dest: 2, sync: true })));
}
