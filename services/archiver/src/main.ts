import { pino } from 'pino';
import { openKeys, type KeySettings } from '@tidemark/crypto';
import { openStore, type StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { Archiver } from './archiver.ts';
import { stepBack } from './background.ts';
import type { CaptureLimits } from './capture/capture-options.ts';
import type { Logger } from './logger.ts';
import type { InstanceTarget } from './open-capture.ts';

/** Plain settings of an archiver process; no adapter among them. */
export interface ServeOptions {
  readonly stateDir: string;
  readonly store: StoreSettings;
  readonly keys: KeySettings;
  readonly spoolBytesMax: number;
  readonly limits: CaptureLimits;
  readonly takeOver: boolean;
  readonly instances: readonly InstanceTarget[];
  readonly findInstance: (id: string) => Promise<InstanceTarget | null>;
}

/** Builds the adapters and runs an archiver in the foreground until the signal is aborted. */
export async function serveArchiver(options: ServeOptions, signal: AbortSignal): Promise<void> {
  stepBack();
  const { store, keys, ...rest } = options;
  const [clock, random] = [systemClock, systemRandom];
  const archiver = new Archiver({
    ...rest,
    store: await openStore(store, { random, clock }),
    keys: await openKeys(keys, { random, clock }),
    clock,
    random,
    logger: stderrLogger(),
  });
  await archiver.run(signal);
}

/** JSON lines on standard error: standard output stays free for results. */
function stderrLogger(): Logger {
  const wrap = (log: pino.Logger): Logger => ({
    info: (message, fields = {}) => log.info(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    error: (message, fields = {}) => log.error(fields, message),
    child: (fields) => wrap(log.child(fields)),
  });
  const settings = { base: null, timestamp: pino.stdTimeFunctions.isoTime };
  return wrap(pino(settings, pino.destination({ dest: 2, sync: true })));
}
