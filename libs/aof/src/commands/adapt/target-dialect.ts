/** A server as far as commands go: what it understands of a log that another server wrote. */
export interface TargetDialect {
  readonly product: 'redis' | 'valkey';
  /** major × 10,000 + minor × 100 + patch. */
  readonly versionNumber: number;
  /** How many databases it has; null = not known, every number passes. */
  readonly databases: number | null;
  /**
   * Which commands of `COMMANDS` it runs, by their names in lower case; null = not known, then the
   * version decides.
   */
  readonly commands: readonly string[] | null;
}

/** Who wrote a log. */
export type LogWriter = Pick<TargetDialect, 'product' | 'versionNumber'>;

/** A version that no release of a product reaches: it lacks the thing. */
export const NEVER = 99_99_99;

/** Whether the server is at least the given version of its own product. */
export function isSince(dialect: LogWriter, redis: number, valkey: number): boolean {
  return dialect.versionNumber >= (dialect.product === 'valkey' ? valkey : redis);
}

/** `redis 7.0.15`, for people. */
export function nameDialect({ product, versionNumber }: TargetDialect): string {
  const parts = [
    Math.floor(versionNumber / 10_000),
    Math.floor(versionNumber / 100) % 100,
    versionNumber % 100,
  ];
  return `${product} ${parts.join('.')}`;
}
