import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import {
  record,
  requestFor,
  restoreError,
  restoreInto,
  type Recorded,
} from '../../support/replay-run.ts';
import { selecting } from '../../support/selected-log.ts';

/** What docs/acl.md gives a user that restores, and what it adds for some keys. */
async function documentedRules(): Promise<{ readonly all: string; readonly some: string }> {
  const text = await readFile(new URL('../../../docs/acl.md', import.meta.url), 'utf8');
  const all = /ACL SETUSER restore on >PASSWORD (.*)/.exec(text)?.[1];
  const some = /of some keys needs `([^`]+)`/.exec(text)?.[1];
  if (all === undefined || some === undefined) throw new Error('docs/acl.md has no such rule');
  return { all, some };
}

describe('the rights that a restore of some keys needs', () => {
  let recorded: Recorded;
  let target: RedisServer;
  beforeAll(async () => {
    recorded = await record({
      before: (client) => client.mset('one', '1', 'other', '2'),
      // COPY: the other key comes along, and is taken away again.
      during: [(client) => client.call('COPY', 'other', 'two')],
    });
    target = await startRedis({ aof: false });
  });
  afterAll(async () => {
    await target[Symbol.asyncDispose]();
    await recorded[Symbol.asyncDispose]();
  });

  const asUser = async (...rules: readonly string[]): Promise<void> => {
    const client = await target.connect();
    await client.call('ACL', 'SETUSER', 'restore', 'reset', 'on', '>secret', ...rules);
  };
  const request = () => {
    const { target: place } = requestFor(recorded.archive, target);
    if (place.kind !== 'server') throw new Error('not a server');
    const address = { ...place.address, username: 'restore', password: 'secret' };
    return { selector: selecting('two'), target: { ...place, address } };
  };

  it('are named before anything is sent when they are missing', async () => {
    const { all } = await documentedRules();
    await asUser(...all.split(' '));
    const error = await restoreError(recorded.archive, target, request());
    expect(error).toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { commands: 'UNLINK,TYPE,DBSIZE,FLUSHDB' },
    });
  });

  it('are those that the docs add', async () => {
    const { all, some } = await documentedRules();
    await asUser(...all.split(' '), ...some.split(' '));
    const report = await restoreInto(recorded.archive, target, request());
    expect(report).toMatchObject({ state: 'succeeded', keys: 1 });
  });
});
