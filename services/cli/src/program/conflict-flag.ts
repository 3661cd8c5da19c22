import { Option } from 'commander';

/** What is done about keys that somebody else has changed. */
export const conflictFlag = (): Option =>
  new Option(
    '--on-conflict <rule>',
    'a key that somebody else has changed: leave it (skip, the default), write it all the same, or stop',
  ).choices(['skip', 'overwrite', 'fail']);
