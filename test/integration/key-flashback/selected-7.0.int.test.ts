import { expect } from 'vitest';
import type { KeyHistory } from '../../support/key-flashback/key-history.ts';
import { loggedCommands } from '../../support/key-flashback/logged-commands.ts';
import { describeSelections } from '../../support/key-flashback/selection-suite.ts';
import { chooseSeed } from '../../support/workload.ts';

/** Commands with which one key depends on others, as they stand in a log of Redis 7.0. */
const WANTED = [
  ...['copy', 'del', 'flushall', 'flushdb', 'move', 'mset', 'msetnx', 'rename', 'renamenx'],
  ...['restore', 'swapdb', 'unlink', 'bitop', 'pfcount', 'pfmerge', 'sort', 'lmove', 'rpoplpush'],
  ...['lpop', 'zpopmax', 'smove', 'sdiffstore', 'sinterstore', 'sunionstore', 'zdiffstore'],
  ...['zinterstore', 'zunionstore', 'zrangestore', 'geosearchstore', 'georadius'],
  ...['georadiusbymember', 'xclaim', 'xgroup', 'xack', 'persist', 'pexpireat', 'multi', 'exec'],
];

async function holdsEveryCommand(history: KeyHistory): Promise<void> {
  const log = await history.bench.storedCommands();
  const names = new Set(loggedCommands(log).map(([name]) => String(name).toLowerCase()));
  expect(WANTED.filter((name) => !names.has(name))).toEqual([]);
}

describeSelections({
  name: 'selected keys of Redis 7.0 that depend on each other through every command',
  server: null,
  seed: chooseSeed('selected keys 7.0'),
  seconds: 10,
  selectors: 10,
  workload: {},
  history: holdsEveryCommand,
});
