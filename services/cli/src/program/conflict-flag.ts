import { Option } from 'commander';

/** What becomes of selected keys that were not there at the point. */
export const missingFlags = (): readonly [Option, Option] => [
  new Option(
    '--keep-missing',
    'in the original: leave selected keys that were not there then',
  ).conflicts('deleteMissing'),
  new Option('--delete-missing', 'delete them (the default)'),
];

/** What is done about keys that somebody else has changed. */
export const conflictFlag = (): Option =>
  new Option(
    '--on-conflict <rule>',
    'a key that somebody else has changed: leave it (skip, the default), write it all the same, or stop',
  ).choices(['skip', 'overwrite', 'fail']);
