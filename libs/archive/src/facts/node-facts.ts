/** A command as the node's COMMAND table describes it. */
export interface CommandFacts {
  /** Lower case; a subcommand is named in full, as `config|get`. */
  readonly name: string;
  /** Number of arguments with the name; negative = at least so many. */
  readonly arity: number;
  readonly flags: readonly string[];
  /** Positions of keys: first, last (negative counts from the end), step; all 0 = none. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
}

/** One line of ACL LIST. */
export interface AclUserFacts {
  readonly name: string;
  /** What follows the name, as the server wrote it. Passwords are SHA-256 hashes: `#…`. */
  readonly rules: string;
}

/** What can be asked of a node and may be denied. */
export type FactsPart = 'modules' | 'commands' | 'config' | 'acl';

/**
 * What a node was, beside its data. Texts from the server hold one byte in each character
 * (U+0000 to U+00FF): names and patterns need not be UTF-8.
 */
export interface NodeFactsRecord {
  readonly product: 'redis' | 'valkey';
  readonly version: string;
  /** Null where it could not be read; `unread` then says why. So are the others. */
  readonly modules: readonly { readonly name: string; readonly version: number }[] | null;
  readonly commands: readonly CommandFacts[] | null;
  /** Every setting that CONFIG GET tells but those that are secrets. */
  readonly config: Readonly<Record<string, string>> | null;
  /** Names of settings whose values are secrets, and that were set. */
  readonly secrets: readonly string[];
  readonly acl: readonly AclUserFacts[] | null;
  readonly unread: readonly { readonly part: FactsPart; readonly code: string }[];
}

/** The parts of facts that may be denied, in a fixed order. */
export const FACTS_PARTS: readonly FactsPart[] = ['modules', 'commands', 'config', 'acl'];
