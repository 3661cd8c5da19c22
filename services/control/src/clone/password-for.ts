import { madeRef } from '../provision/local-server.ts';
import type { CloneRequest } from './clone-request.ts';

/**
 * The file with the password of a new server. One that is started here has a password, whether one was named or not:
 * it holds all the data of its source. One that is made up is made with its server.
 * @param job - Its id: every attempt has the same one.
 * @returns Null: that of the source, or what whoever gives the server has set.
 */
export function passwordFor(
  { target, passwordRef, keep }: Pick<CloneRequest, 'target' | 'passwordRef' | 'keep'>,
  job: string,
): string | null {
  const isOwn = passwordRef !== null || keep.includes('password');
  return isOwn || target.kind !== 'local' ? passwordRef : madeRef({ id: job });
}
