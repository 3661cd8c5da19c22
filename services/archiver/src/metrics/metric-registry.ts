/** A family of metrics, as it is exposed. */
export interface MetricFamily {
  /** With the prefix `tidemark_`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /** Names of labels; their values are a bounded set, and never data of the user. */
  readonly labels: readonly string[];
}

/** Values of labels, by name. */
export type MetricLabels = Readonly<Record<string, string>>;

/** One number of a family. */
export interface MetricSample {
  readonly name: string;
  readonly labels: MetricLabels;
  readonly value: number;
}

/** Times that are gathered as they pass. */
export interface DurationMetric {
  observe(labels: MetricLabels, seconds: number): void;
}

/** What an exposition is answered with. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** The metrics of one process. Nothing is worked out before somebody asks for them. */
export interface MetricRegistry {
  /**
   * Adds families whose numbers are read when somebody asks.
   * @param read - One that throws leaves its families without numbers, and is told of.
   */
  collect(
    families: readonly MetricFamily[],
    read: () => readonly MetricSample[] | Promise<readonly MetricSample[]>,
  ): void;
  /** Adds a histogram. */
  durations(options: {
    readonly name: string;
    readonly help: string;
    readonly labels: readonly string[];
    /** Upper bounds in seconds, ascending. */
    readonly buckets: readonly number[];
  }): DurationMetric;
  /** All of it in the text format of Prometheus. Those who ask at one time share one answer. */
  exposition(): Promise<Exposition>;
}

/**
 * Opens an empty registry; the library behind it is loaded only then.
 * @param onFailed - Told what a source of numbers failed with.
 */
export async function openMetricRegistry(
  onFailed: (cause: unknown) => void,
): Promise<MetricRegistry> {
  const { PromRegistry } = await import('./prom-registry.ts');
  return new PromRegistry(onFailed);
}
