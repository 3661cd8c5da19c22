import { madeRef } from '../provision/local-server.ts';
import type { CloneRequest } from './clone-request.ts';
import { hasSourcePassword } from './open-source.ts';

/**
 * The file with the password of a new server. One that is started here has a password, whether one was named or not:
 * it holds all the data of its source. One that is made up is made with its server.
 * @param job - Its id: every attempt has the same one.
 * @returns Null: that of the source, or what whoever gives the server has set.
 */
export function passwordFor(
  wish: Pick<CloneRequest, 'target' | 'passwordRef' | 'keep'>,
  job: string,
): string | null {
  const { target, passwordRef } = wish;
  const isOwn = passwordRef !== null || hasSourcePassword(wish);
  return isOwn || target.kind !== 'local' ? passwordRef : madeRef({ id: job });
}
