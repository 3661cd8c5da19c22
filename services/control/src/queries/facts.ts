import { readFactsAt } from '@tidemark/restorer';
import { formatSecond, type Workspace } from '@tidemark/workspace';

/** What a node was beside its data, as `facts` and the API show it. No secrets. */
export interface FactsDocument {
  readonly instance: string;
  /** RFC 3339 UTC. */
  readonly taken: string;
  readonly product: string;
  readonly version: string;
  readonly modules: readonly { readonly name: string; readonly version: number }[] | null;
  /** How many commands its table has; null = not read. */
  readonly commands: number | null;
  readonly config: Readonly<Record<string, string>> | null;
  /** Settings that are set, and are not stored. */
  readonly secrets: readonly string[];
  readonly users: readonly { readonly name: string; readonly rules: string }[] | null;
  readonly unread: readonly { readonly part: string; readonly code: string }[];
}

/**
 * Node facts in force at the end of a second. The catalog is up to date.
 * @param second - Null: the newest.
 * @throws UsageError `TM_NOT_FOUND`; as `readFactsAt`.
 */
export async function factsDocument(
  id: string,
  second: number | null,
  { store, keys, catalog }: Pick<Workspace, 'store' | 'keys' | 'catalog'>,
  signal: AbortSignal,
): Promise<FactsDocument> {
  // The whole of the second counts.
  const atMs = second === null ? null : second * 1000 + 999;
  const { facts, takenMs } = await readFactsAt(id, atMs, { store, keys, catalog, signal });
  const { product, version, modules, commands, config, secrets, acl, unread } = facts;
  return {
    instance: id,
    taken: formatSecond(Math.floor(takenMs / 1000)),
    product,
    version,
    modules,
    commands: commands?.length ?? null,
    config:
      config &&
      Object.fromEntries(
        Object.entries(config).map(
          ([name, value]) => [printableText(name), printableText(value)] as const,
        ),
      ),
    secrets,
    users:
      acl?.map(({ name, rules }) => ({ name: printableText(name), rules: shownRules(rules) })) ??
      null,
    unread,
  };
}

/** The rules of a user, printable, without the hashes of passwords: nobody needs to see them. */
export function shownRules(rules: string): string {
  return printableText(rules).replace(/#[0-9a-f]{64}/g, '#…');
}

/** A text of bytes: as UTF-8 where it is that, and what could move a terminal's cursor escaped. */
export function printableText(bytes: string): string {
  return Buffer.from(bytes, 'latin1')
    .toString('utf8')
    .replace(
      /[\p{Cc}\ufffd]/gu,
      (char) => `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`,
    );
}
