import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type {
  DurationMetric,
  Exposition,
  MetricFamily,
  MetricRegistry,
  MetricSample,
} from './metric-registry.ts';

interface Source {
  readonly metrics: ReadonlyMap<string, Counter | Gauge>;
  readonly read: () => readonly MetricSample[] | Promise<readonly MetricSample[]>;
}

/** A registry of prom-client. */
export class PromRegistry implements MetricRegistry {
  readonly #registry = new Registry();
  readonly #sources: Source[] = [];
  readonly #onFailed: (cause: unknown) => void;
  #answering: Promise<Exposition> | null = null;

  constructor(onFailed: (cause: unknown) => void) {
    this.#onFailed = onFailed;
  }

  collect(families: readonly MetricFamily[], read: Source['read']): void {
    const metrics = new Map<string, Counter | Gauge>();
    for (const { name, help, type, labels } of families) {
      const settings = { name, help, labelNames: [...labels], registers: [this.#registry] };
      metrics.set(name, type === 'counter' ? new Counter(settings) : new Gauge(settings));
    }
    this.#sources.push({ metrics, read });
  }

  durations(options: {
    readonly name: string;
    readonly help: string;
    readonly labels: readonly string[];
    readonly buckets: readonly number[];
  }): DurationMetric {
    const { name, help, labels, buckets } = options;
    const histogram = new Histogram({
      ...{ name, help, labelNames: [...labels], buckets: [...buckets] },
      registers: [this.#registry],
    });
    return { observe: (values, seconds) => histogram.observe({ ...values }, seconds) };
  }

  exposition(): Promise<Exposition> {
    this.#answering ??= this.#answer().finally(() => (this.#answering = null));
    return this.#answering;
  }

  async #answer(): Promise<Exposition> {
    await Promise.all(this.#sources.map((source) => this.#fill(source)));
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  async #fill({ metrics, read }: Source): Promise<void> {
    let samples: readonly MetricSample[] = [];
    try {
      samples = await read();
    } catch (cause) {
      this.#onFailed(cause);
    }
    for (const metric of metrics.values()) {
      metric.reset();
      // A metric without labels stands at 0 after that; what is not known is not 0.
      metric.remove({});
    }
    for (const { name, labels, value } of samples) metrics.get(name)?.inc({ ...labels }, value);
  }
}
