/** Which facts of the node a restore writes on its target. */
export interface FactsWish {
  readonly acl: boolean;
  /** Also the user `default`. */
  readonly defaultUser: boolean;
  readonly config: boolean;
}

/** Something that was not written, and why. Never the value of a secret, never a hash. */
export interface LeftFact {
  readonly name: string;
  readonly reason: string;
}

/** What became of the users, or of the settings. */
export interface FactsPartReport {
  /** Names that were written; of a dry run, that would be. */
  readonly written: readonly string[];
  /** How many the target had already. */
  readonly same: number;
  readonly left: readonly LeftFact[];
}

/** What a restore did with the facts of the node. */
export interface FactsReport {
  /** When the facts were taken, RFC 3339 UTC. */
  readonly taken: string;
  /** Product and version of the node. */
  readonly node: string;
  /** Null when it was not asked for, or there is no target yet to compare with. */
  readonly acl: FactsPartReport | null;
  readonly config: FactsPartReport | null;
}
