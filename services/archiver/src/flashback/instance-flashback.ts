import { fixedLocator } from '@tidemark/client';
import type { BackupMode } from '../control/protocol.ts';
import { makeOneOffBackup } from '../one-off/one-off-backup.ts';
import type { CaptureSetting, InstanceTarget } from '../open-capture.ts';
import type { RequestMeter } from '../ship/request-meter.ts';
import { FlashbackPolicy } from './flashback-policy.ts';
import { FlashbackWatch } from './flashback-watch.ts';

/** What an instance is looked after with while its flashback may be off. */
export interface InstanceFlashbackOptions extends CaptureSetting {
  readonly instance: string;
  /** What holds for an instance that has no policy of its own. */
  readonly byDefault: boolean;
  /** The node, with its passwords read. */
  readonly target: () => Promise<InstanceTarget>;
  /** Counts what reading the policy asks of the store. */
  readonly requests: RequestMeter;
}

/** The flashback of one instance: whether its policy wants it, and backups while it is off. */
export class InstanceFlashback {
  readonly watch: FlashbackWatch;
  readonly #options: InstanceFlashbackOptions;

  constructor(options: InstanceFlashbackOptions) {
    const { instance, clock, logger, target } = options;
    this.#options = options;
    const policy = new FlashbackPolicy(options);
    this.watch = new FlashbackWatch({
      port: {
        isOn: () => policy.isOn(),
        hasOpenTimeline: () => policy.hasOpenTimeline(),
        tidy: async () => policy.tidy(await target()),
      },
      ...{ clock, logger: logger.child({ instance }) },
    });
  }

  /**
   * Makes a backup over replication while no capture runs.
   * @returns Its id, its offset in its timeline and the first second that it serves.
   * @throws As `makeOneOffBackup`.
   */
  async backup(
    mode: BackupMode,
    signal: AbortSignal,
  ): Promise<{ readonly backup: string; readonly offset: bigint; readonly from: number }> {
    const { instance, target, limits, logger, ...ports } = this.#options;
    return this.watch.backup(async () => {
      const node = await target();
      await using locator = node.locator?.() ?? fixedLocator(node.address);
      const request = { instance, address: await locator.locate(signal), mode };
      const { stored } = await makeOneOffBackup(request, {
        ...ports,
        ...{ heartbeatMs: limits.heartbeatMs, signal, onProgress: () => undefined },
        // It is the instance itself, whose keys its log tells.
        mayCopy: () => Promise.resolve(),
      });
      logger.info('snapshot', { instance, backup: stored.backup, keys: stored.summary.keys });
      return stored;
    });
  }
}
