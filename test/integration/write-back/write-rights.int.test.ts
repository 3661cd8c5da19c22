import { readFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { record } from '../../support/replay-run.ts';
import { originalOf, readBytes, undo, writeBack } from '../../support/write-back/write-run.ts';

const ACL = new URL('../../../docs/acl.md', import.meta.url);

/** The rights that the documentation gives, without those that the server does not know. */
async function documentedRights(client: Redis): Promise<readonly string[]> {
  const text = await readFile(ACL, 'utf8');
  const section = text.slice(text.indexOf('## Keys of the original'));
  const rights = [...section.matchAll(/^ {4}ACL SETUSER capture (.*)$/gm)].flatMap(
    ([, rules = '']) => rules.split(' '),
  );
  const names = rights.map((right) => right.replace(/^\+/, '').split('|')[0] ?? '');
  const known = (await client.call('COMMAND', 'INFO', ...names)) as readonly unknown[];
  return rights.filter((right, i) => right === '~*' || known[i] !== null);
}

async function fill(client: Redis, text: string): Promise<void> {
  const large = Array.from({ length: 900 }, (_, i) => `${text} ${String(i)}`.padEnd(10_000, text));
  for (const type of ['list', 'set', 'zset', 'hash', 'stream']) await client.del(type);
  await client.set('small', text, 'EX', 1_000);
  await client.set('string', large.join(''));
  await client.rpush('list', ...large);
  await client.sadd('set', ...large);
  await client.zadd('zset', ...large.flatMap((member, i) => [i, member]));
  await client.hset('hash', ...large.flatMap((value, i) => [i, value]));
  const pipeline = client.pipeline();
  for (const [i, value] of large.entries()) {
    pipeline.xadd('stream', `1-${String(i + 1)}`, 'f', value);
  }
  await pipeline.exec();
  await client.xgroup('CREATE', 'stream', 'group', '0');
  await client.xreadgroup('GROUP', 'group', 'me', 'COUNT', 1, 'STREAMS', 'stream', '>');
}

describe('a user with the rights that docs/acl.md gives', () => {
  it('writes values of every type and size, and undoes that', async () => {
    await using recorded = await record({
      config: { save: '' },
      during: [(client) => fill(client, 'then'), (client) => fill(client, 'now')],
    });
    const { client } = recorded;
    const rights = await documentedRights(client);
    expect(rights.length).toBeGreaterThan(40);
    await client.call('ACL', 'SETUSER', 'writer', 'on', '>secret', '-@all', ...rights);
    const live = originalOf(recorded, { username: 'writer', password: 'secret' });
    const before = (await readBytes(client)).size;
    const { report, failure } = await writeBack(recorded, { live });
    expect(failure).toBeNull();
    expect(report).toMatchObject({ state: 'succeeded', restored: 7, left: [] });
    const undone = await undo(recorded, report.id, { live });
    expect(undone).toMatchObject({ failure: null, report: { restored: 7, left: [] } });
    expect((await readBytes(client)).size).toBe(before);
    expect(await client.get('small')).toBe('now');
    for (const right of ['+watch', '+rename', '+xclaim', '+hset']) {
      await client.call('ACL', 'SETUSER', 'writer', `-${right.slice(1)}`);
      await expect(writeBack(recorded, { live })).rejects.toMatchObject({
        code: 'TM_NODE_RIGHTS',
        context: { commands: right.slice(1).toUpperCase() },
      });
      await client.call('ACL', 'SETUSER', 'writer', right);
    }
  });
});
