import type { WriterEvent } from '@tidemark/catalog';
import type { CaptureOptions } from '../capture/capture-options.ts';
import { EventLine } from '../capture/event-line.ts';
import { Backlog } from './backlog.ts';
import { SegmentShipper, type ShipperOptions } from './segment-shipper.ts';
import { StoreHealth } from './store-health.ts';

/** What an outlet works with. */
export interface OutletOptions {
  readonly capture: CaptureOptions;
  /** Ends the retries. */
  readonly signal: AbortSignal;
  /** An entry of the backlog is in store and log. */
  readonly onDurable: (event: WriterEvent) => Promise<void>;
  /** Called once, with the first fault of shipping that a retry cannot mend. */
  readonly onFailed: (cause: unknown) => void;
}

/** All that leads from one capture through the spool to its store and its log. */
export class Outlet {
  readonly health: StoreHealth;
  readonly events: EventLine;
  readonly shipping: ShipperOptions;
  readonly shipper: SegmentShipper;
  readonly backlog: Backlog;

  constructor({ capture, signal, onDurable, onFailed }: OutletOptions) {
    const { log, clock, logger, limits } = capture;
    this.health = new StoreHealth(logger);
    const { onRetry, onRecovered } = this.health;
    const retry = { clock, signal, onRetry, onRecovered };
    this.events = new EventLine(log, limits.heartbeatMs, retry, capture.onEvent);
    const append: ShipperOptions['append'] = (event, body) => this.events.append(event, body);
    this.shipping = { ...capture, ...retry, append };
    this.shipper = new SegmentShipper(this.shipping);
    this.backlog = new Backlog({ ...this.shipping, log, onDurable, onFailed });
  }
}
