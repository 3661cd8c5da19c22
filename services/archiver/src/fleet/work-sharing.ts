/** What is told about the work of this host. Nothing here gives a right: that is the log's matter. */
export interface WorkDesk {
  /** This host is a member: what it captures and was not assigned is another one's work. */
  joined(): void;
  /** These are for this host to capture, beside what it was given before. */
  assigned(instances: readonly string[]): void;
  /** Another host is to capture these. Resolves when those that can be let go now are released. */
  revoked(instances: readonly string[]): Promise<void>;
  /**
   * Nobody knows any more whose these are; without instances, of none at all. What is captured is
   * kept until this host is a member again.
   */
  lost(instances?: readonly string[]): void;
  /**
   * Whether this host can do what it was given. One whose entries do not reach the store must not
   * keep work from others.
   */
  readonly isFit: boolean;
  /** Those whose log took an entry of this host just now: they are its work, whatever the group knows. */
  readonly proven: readonly string[];
}

/** Shares the captures of several hosts out among them. */
export interface WorkSharing {
  /**
   * Takes part until the signal is aborted. A service that is away is waited for.
   * @param instances - All that may be given to this host.
   */
  run(instances: readonly string[], desk: WorkDesk, signal: AbortSignal): Promise<void>;
}
