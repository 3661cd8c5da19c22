import type { Job } from '@tidemark/control';
import { expect, it } from 'vitest';
import { cloneText } from '../../../services/cli/src/commands/clone.ts';

it.each([
  ['set', 'clone-job-1.pass', 'password: in the file clone-job-1.pass of the folder secrets'],
  ['of-source', null, 'password: of-source'],
])('a clone says where its password lies: %s, %s', (password, passwordRef, line) => {
  const result = {
    ...{ name: 'copy', url: 'redis://127.0.0.1:6400', keys: 3, expired: 0, compared: 0 },
    ...{ password, passwordRef, instance: null, warnings: [] },
  };
  expect(cloneText({ result } as unknown as Job)).toEqual([
    ...['copy: redis://127.0.0.1:6400', '3 keys; 0 compared with the archive', line],
  ]);
});
