import { pino } from 'pino';
import { refuseUnverified } from '@tidemark/core';
import { openKeys, type KeySettings } from '@tidemark/crypto';
import { openStore, type StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { Archiver } from './archiver.ts';
import { stepBack } from './background.ts';
import type { CaptureLimits } from './capture/capture-options.ts';
import type { Logger } from './logger.ts';
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
  /** Null: the archiver deletes nothing. */
  readonly retention: RetentionRules | null;
}

/**
 * Builds the adapters and runs an archiver in the foreground until the signal is aborted.
 * @throws UsageError `TM_TLS_SETTINGS` in a process that would verify nothing; as `Archiver.run`.
 */
export async function serveArchiver(options: ServeOptions, signal: AbortSignal): Promise<void> {
  refuseUnverified(process.env);
  stepBack();
  const { store: storeSettings, keys: keySettings, retention: rules, ...rest } = options;
  const [clock, random] = [systemClock, systemRandom];
  const store = await openStore(storeSettings, { random, clock });
  const keys = await openKeys(keySettings, { random, clock });
  const logger = stderrLogger();
  const archiver = new Archiver({ ...rest, store, keys, clock, random, logger });
  const over = new AbortController();
  const { stateDir } = rest;
  const ports = { stateDir, store, keys, clock, random, logger };
  const instances = (): readonly string[] => archiver.instances;
  const retention =
    rules === null
      ? Promise.resolve()
      : keepRetention({ ...ports, rules, instances }, AbortSignal.any([signal, over.signal]));
  try {
    await archiver.run(signal);
  } finally {
    over.abort(new Error('the archiver has ended'));
    await retention;
  }
}

/** JSON lines on standard error: standard output stays free for results. */
export function stderrLogger(): Logger {
  const wrap = (log: pino.Logger): Logger => ({
    info: (message, fields = {}) => log.info(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    error: (message, fields = {}) => log.error(fields, message),
    child: (fields) => wrap(log.child(fields)),
  });
  const settings = { base: null, timestamp: pino.stdTimeFunctions.isoTime };
  return wrap(pino(settings, pino.destination({ dest: 2, sync: true })));
}
