import type { Job } from '@tidemark/control';
import { expect, it } from 'vitest';
import { cloneText } from '../../../services/cli/src/commands/clone.ts';

it.each([
  ['set', 'clone-job-1.pass', 'password: first line of /etc/tm/secrets/clone-job-1.pass'],
  ['of-source', null, 'password: that of the source, where it has one'],
  ['none', null, 'password: none'],
])('a clone says where its password lies: %s, %s', (password, passwordRef, line) => {
  const result = {
    ...{ name: 'copy', url: 'redis://127.0.0.1:6400', keys: 3, expired: 0, compared: 0 },
    ...{ password, passwordRef, instance: null, warnings: [] },
  };
  expect(cloneText({ result } as unknown as Job, '/etc/tm/tidemark.toml')).toEqual([
    ...['copy: redis://127.0.0.1:6400', '3 keys; no sample was compared (--sample N)', line],
  ]);
});
