import { userInfo } from 'node:os';
import type { Actor } from '@tidemark/control';

/**
 * Who runs the command, for the audit.
 * @param look - Asks the system for the user of this process; it throws for one that has no name.
 */
export function cliActor(look: () => { readonly username: string } = userInfo): Actor {
  const name = nameOf(look)
    .replaceAll(/[^A-Za-z0-9._@-]/g, '_')
    .slice(0, 64);
  return { name: name === '' ? 'unknown' : name, via: 'cli' };
}

/** A container may run as a number that stands in no passwd. */
function nameOf(look: () => { readonly username: string }): string {
  try {
    return look().username;
  } catch {
    return `uid-${process.getuid?.().toString() ?? ''}`;
  }
}
