import { userInfo } from 'node:os';
import type { Actor } from '@tidemark/control';

/** Who runs the command, for the audit. */
export function cliActor(): Actor {
  const name = userInfo()
    .username.replaceAll(/[^A-Za-z0-9._@-]/g, '_')
    .slice(0, 64);
  return { name: name === '' ? 'unknown' : name, via: 'cli' };
}
