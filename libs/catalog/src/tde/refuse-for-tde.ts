import { TidemarkError } from '@tidemark/core';
import type { Tde } from './read-tde.ts';

/** What is not done for an instance with TDE (docs/tde.md), with the reason and the way out. */
const REFUSALS = {
  'plain-copy': {
    what: 'makes no plain copy of it',
    why: 'clear data leaves only through a socket into an instance, never into a file',
    hint: 'restore into a server (--to new), or download the sealed backup',
  },
  'second-capture': {
    what: 'captures its node under no other name',
    why: 'what is stored under that name would not be under TDE',
    hint: 'the name of this node is ID; a server of its own with the data is made with: restore ID --to new',
  },
  'original-restore': {
    what: 'writes nothing back into the original',
    why: 'its owner has not allowed it',
    hint: 'allow it, which is recorded: tidemark tde allow-original-restore ID on',
  },
  values: {
    what: 'shows no values',
    why: 'clear data leaves only through a socket into an instance',
    hint: 'without --values: kinds, sizes and expiries are shown',
  },
  'clear-transport': {
    what: 'sends nothing in the clear over a network',
    why: 'without TLS clear data crosses the loopback only',
    hint: 'over TLS (docs/tls.md, "Restore over TLS"), or on the host of the target with a loopback address or a unix socket',
  },
} as const;

/** What may be refused. */
export type TdeOperation = keyof typeof REFUSALS;

/**
 * Refuses what is not done for an instance with TDE, from the moment it was asked for.
 *
 * @throws TidemarkError `TM_TDE_DENIED` with `context.operation`.
 */
export function refuseForTde(tde: Tde, operation: TdeOperation): void {
  if (tde.state === 'disabled') return;
  const { what, why, hint } = REFUSALS[operation];
  throw new TidemarkError('TM_TDE_DENIED', `${tde.iid} has TDE: Tidemark ${what} (${why})`, {
    context: { instance: tde.iid, operation, tde: tde.state },
    hint: hint.replaceAll('ID', tde.iid),
  });
}
