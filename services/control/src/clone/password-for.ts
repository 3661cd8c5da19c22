import type { Random } from '@tidemark/core';
import { madeRef } from '../provision/local-server.ts';
import type { Provisioners } from '../provision/provisioners.ts';
import type { CloneRequest } from './clone-request.ts';

/**
 * The file with the password of a new server. One that is started here has a password, whether one was named or not:
 * it holds all the data of its source.
 * @param job - Its id: every attempt has the same one.
 * @returns Null: that of the source, or what whoever gives the server has set.
 */
export async function passwordFor(
  { target, passwordRef, keep }: Pick<CloneRequest, 'target' | 'passwordRef' | 'keep'>,
  job: string,
  { provisioners, random }: { readonly provisioners: Provisioners; readonly random: Random },
): Promise<string | null> {
  const isOwn = passwordRef !== null || keep.includes('password');
  if (isOwn || target.kind !== 'local') return passwordRef;
  const made = madeRef({ id: job });
  await provisioners.secrets.keepNew(made, random);
  return made;
}
