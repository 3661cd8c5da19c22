import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeClient } from '@tidemark/client';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { readAofSource } from '../../support/aof-source.ts';
import { KeyTarget } from '../../support/key-flashback/check-selections.ts';
import { connect, DATABASES } from '../../support/key-flashback/key-history.ts';
import {
  diffKeyStates,
  readKeyStates,
  statesWhere,
  type KeyStates,
} from '../../support/key-flashback/key-oracle.ts';
import { loggedCommands } from '../../support/key-flashback/logged-commands.ts';
import { selectKeys } from '../../support/key-flashback/random-selector.ts';
import { record, restoreInto } from '../../support/replay-run.ts';
import { startRedis } from '../../support/redis-server.ts';

const LIFE_MS = 400;

/**
 * What ran while every key that `PX` names was alive; all is over long before the replay. PERSIST at
 * the end makes the harm last: these keys live, whatever became of the expiry.
 */
const HISTORY: readonly (readonly string[])[] = [
  ['SET', 'visits', '41', 'PX', 'LIFE'],
  ['INCR', 'visits'],
  ['SET', 'text', 'begun', 'PX', 'LIFE'],
  ['APPEND', 'text', ' and ended'],
  ['RPUSH', 'queue', 'first', 'second'],
  ['PEXPIRE', 'queue', 'LIFE'],
  ['LPUSH', 'queue', 'third'],
  ['SET', 'draft', 'page', 'PX', 'LIFE'],
  ['RENAME', 'draft', 'final'],
  ['SET', 'template', 'page', 'PX', 'LIFE'],
  ['COPY', 'template', 'copied'],
  ['SADD', 'team', 'anna', 'ben'],
  ['PEXPIRE', 'team', 'LIFE'],
  ['SUNIONSTORE', 'everybody', 'team', 'guests'],
  ['SET', 'lock', 'anna', 'NX', 'PX', 'LIFE'],
  ['SET', 'lock', 'ben', 'XX', 'KEEPTTL'],
  ['PERSIST', 'visits'],
  ['PERSIST', 'text'],
  ['PERSIST', 'queue'],
  ['PERSIST', 'final'],
  ['PERSIST', 'copied'],
  ['PERSIST', 'lock'],
];

/** The server deletes nothing by itself: what it holds can be read at leisure, however late. */
async function write(client: Redis): Promise<void> {
  await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0);
  const pipeline = client.pipeline();
  for (const words of HISTORY) {
    const [name = '', ...args] = words.map((word) => (word === 'LIFE' ? LIFE_MS.toString() : word));
    pipeline.call(name, ...args);
  }
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

/** Sends the commands of a log as any client would. */
async function replayAsClient(log: Buffer, client: NodeClient): Promise<KeyStates> {
  await client.pipeline(loggedCommands(log));
  return readKeyStates(client);
}

describe('commands that ran while keys were alive whose time has passed since', () => {
  it('give other data through an ordinary client, for the server drops an expired key before it runs a command on it, and the same through our feed, whose commands see it alive', async () => {
    await using recorded = await record({
      config: { databases: DATABASES.toString() },
      during: [write],
    });
    await using source = await connect(recorded.source);
    const wanted = await readKeyStates(source);
    expect(wanted.size).toBe(9);
    await sleep(LIFE_MS);

    await using plain = await startRedis({ aof: false });
    await using client = await connect(plain);
    const { logPath } = await readAofSource(recorded.source, recorded.client);
    const wrong = diffKeyStates(wanted, await replayAsClient(await readFile(logPath), client));
    // Counted from nothing, one half only, never there: each is a key that a user would get wrong.
    for (const key of ['visits', 'text', 'queue', 'final', 'copied', 'everybody', 'lock']) {
      expect(wrong.filter((line) => line.startsWith(`0 ${key}: `))).not.toEqual([]);
    }
    expect(await client.call('GET', 'visits')).toBe('1');
    expect(await client.call('LRANGE', 'queue', 0, -1)).toEqual(['third']);

    await using target = await KeyTarget.start(null);
    await restoreInto(recorded.archive, target.server, { promote: false });
    expect(diffKeyStates(wanted, await target.takeStates())).toEqual([]);
    for (const key of ['visits', 'final', 'everybody']) {
      const selector = selectKeys([key]);
      const report = await restoreInto(recorded.archive, target.server, {
        ...{ selector: selector.spec, promote: false, allowFlush: true },
      });
      // Keys that came along and died are neither left behind nor told of.
      expect(report).toMatchObject({ keys: 1, vanishing: 0, vanishingSample: [] });
      const own = statesWhere(wanted, selector.selects);
      expect(diffKeyStates(own, await target.takeStates())).toEqual([]);
    }
  });
});
