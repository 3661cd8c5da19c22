import type { AclUserFacts } from '@tidemark/archive';
import type { NodeClient } from '@tidemark/client';
import { TidemarkError, UsageError } from '@tidemark/core';
import { readFactsAt } from '@tidemark/restorer';
import { readFrom, type Workspace } from '@tidemark/workspace';
import type { CloneRequest } from './clone-request.ts';

type Wish = Pick<CloneRequest, 'keep' | 'passwordRef'>;

/** Whether a clone is to have the password of its source: one that was given goes before it. */
export function hasSourcePassword({ keep, passwordRef }: Wish): boolean {
  return keep.includes('password') && passwordRef === null;
}

/** Whether by these rules anybody may run a command as the default user: no password is asked for. */
export function isOpenTo(users: readonly AclUserFacts[]): boolean {
  const words = users.find(({ name }) => name === 'default')?.rules.split(' ') ?? [];
  const isLetIn = words.includes('on') && words.includes('nopass');
  return isLetIn && words.some((word) => /^\(?\+/.test(word));
}

/**
 * Refuses a clone that would have the password of its source where that has none: it would hold all the data, and let
 * everybody in. What facts are not stored is the restore's to refuse.
 * @param atMs - Unix milliseconds that the facts are of; null: now.
 * @throws UsageError `TM_PASSWORD` with `context.rule` `source`.
 */
export async function refuseOpenSource(
  wish: Wish,
  instance: string,
  atMs: number | null,
  { store, keys, catalog }: Pick<Workspace, 'store' | 'keys' | 'catalog'>,
  signal: AbortSignal,
): Promise<void> {
  if (!hasSourcePassword(wish)) return;
  const source = { store, keys, catalog, signal };
  const acl = await readFactsAt(instance, atMs, source).then(
    ({ facts }) => facts.acl,
    (cause: unknown) => {
      if (cause instanceof TidemarkError && cause.code === 'TM_NOT_FOUND') return null;
      throw cause;
    },
  );
  if (acl !== null && isOpenTo(acl)) throw refused();
}

/** The instant that the facts of a clone are of, as far as it is known before it is planned; null: now. */
export function factsMs(
  { source }: Pick<CloneRequest, 'source'>,
  instance: string,
  { catalog }: Pick<Workspace, 'catalog'>,
): number | null {
  const second = source.kind === 'latest' ? null : readFrom(catalog, instance, source);
  return second === null ? null : second * 1000 + 999;
}

/**
 * Looks at the clone itself, before it is handed over.
 * @throws As `refuseOpenSource`.
 */
export async function refuseOpenClone(wish: Wish, client: NodeClient): Promise<void> {
  if (!hasSourcePassword(wish)) return;
  const lines = (await client.call('ACL', 'LIST')) as readonly unknown[];
  const users = lines.map((line) => {
    const [, name = '', ...rules] = String(line).split(' ');
    return { name, rules: rules.join(' ') };
  });
  if (isOpenTo(users)) throw refused();
}

function refused(): UsageError {
  return new UsageError('TM_PASSWORD', 'the source has no password that its clone could have', {
    context: { rule: 'source' },
    hint: 'give the clone a password, or do not keep that of the source: a server that is started here has one made up, any other keeps its own',
  });
}
