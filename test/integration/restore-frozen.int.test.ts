import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeCommand } from '@tidemark/resp';
import { abortRestore, resumeRestore } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MATRIX_SERVERS, matrixBinary, whyNoBinary } from '../support/matrix/matrix-server.ts';
import { startRedis } from '../support/redis-server.ts';
import { record, restoreInto, type Recorded } from '../support/replay-run.ts';
import { untilTrue } from '../support/restore-target.ts';
import { ScriptedPrimary } from '../support/scripted-primary.ts';
import { serversRequired } from '../support/servers.ts';
import { ARCHIVED } from '../support/test-archive.ts';

const noPassword = (): Promise<string> => Promise.resolve('');
const SHORT_MS = 1_500;

/** A target that was left replayed: whoever listens on the port of its feed later has no way in. */
describe('a target that waits for its promotion', () => {
  let recorded: Recorded;
  beforeAll(async () => {
    recorded = await record({
      before: (client) => client.mset({ secret1: 'kept', a: '1' }),
      during: [
        (client) => client.call('INCR', 'a'),
        (client) => client.set('short', 1, 'PX', SHORT_MS),
      ],
    });
  });
  afterAll(() => recorded[Symbol.asyncDispose]());

  const environment = async () => ({
    ...(await recorded.archive.environment()),
    clock: systemClock,
    random: systemRandom,
  });

  /** Port of the feed that a restore had, from what is kept of it. */
  async function feedPort(id: string): Promise<number> {
    const { stateDir } = await environment();
    const names = await readdir(join(stateDir, 'restores'));
    const name = names.find((one) => one.includes(id))!;
    const text = await readFile(join(stateDir, 'restores', name), 'utf8');
    return (JSON.parse(text) as { feed: { port: number } }).feed.port;
  }
  async function fact(client: Redis, name: string): Promise<string> {
    const info = await client.info('replication');
    return new RegExp(`^${name}:(.*)\r$`, 'm').exec(info)?.[1] ?? '';
  }
  const taken = async (client: Redis): Promise<number> =>
    Number(await fact(client, 'slave_repl_offset'));

  /** Takes any password and goes on with a stream of its own. */
  const forger = (...commands: string[][]): Promise<ScriptedPrimary> =>
    ScriptedPrimary.start((command) => {
      if (command === 'PING') return '+PONG\r\n';
      if (!command.startsWith('PSYNC')) return '+OK\r\n';
      return `+CONTINUE\r\n${commands.map((args) => encodeCommand(args).toString()).join('')}`;
    });

  it.each(MATRIX_SERVERS)('dials nobody, and changes in nothing: %s', async (name) => {
    const program = matrixBinary(name);
    if (program === null) {
      expect(serversRequired(), whyNoBinary(name)).toBe(false);
      return;
    }
    await using target = await startRedis({ aof: false, binary: program.binary });
    const client = await target.connect();
    await client.config('SET', 'masterauth', 'its own');
    const settings = await client.config('GET', '*');
    const frozen = await restoreInto(recorded.archive, target, { promote: false });
    const offset = await taken(client);
    const port = await feedPort(frozen.id);
    expect(await fact(client, 'role')).toBe('slave');
    expect(await fact(client, 'master_port')).toBe('0');
    expect(await client.config('GET', 'masterauth')).toEqual(['masterauth', 'its own']);
    expect(port).toBeGreaterThan(0);
    // It tries once a second, and what has expired stays as long as it is a replica.
    await untilTrue(
      async () => Number(await fact(client, 'master_link_down_since_seconds')) * 1000 > SHORT_MS,
    );
    expect(await client.dbsize()).toBe(3);
    expect([await taken(client), await client.get('a')]).toEqual([offset, '2']);
    const promoted = await resumeRestore(ARCHIVED, frozen.id, noPassword, await environment());
    expect(promoted).toMatchObject({ state: 'succeeded', warnings: [] });
    expect(await fact(client, 'role')).toBe('master');
    await untilTrue(async () => (await client.dbsize()) === 2);
    const after = await client.config('GET', '*');
    expect(after).toEqual(settings);
  });

  it('tells nothing to a listener on the port that its feed had', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    const frozen = await restoreInto(recorded.archive, target, { promote: false });
    await using thief = await forger(['SET', 'evil', 'forged'], ['DEL', 'secret1']);
    await thief.moveTo(await feedPort(frozen.id));
    await untilTrue(async () => Number(await fact(client, 'master_link_down_since_seconds')) >= 3);
    expect(thief.ends).toHaveLength(0);
    const promoted = await resumeRestore(ARCHIVED, frozen.id, noPassword, await environment());
    expect(promoted.state).toBe('succeeded');
    expect([await client.get('secret1'), await client.get('evil')]).toEqual(['kept', null]);
  });

  it('is not promoted when it was fed by another, and is emptied', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    const settings = await client.config('GET', '*');
    const frozen = await restoreInto(recorded.archive, target, { promote: false });
    await using thief = await forger(['SET', 'evil', 'forged'], ['DEL', 'secret1']);
    await client.call('REPLICAOF', '127.0.0.1', thief.port);
    await untilTrue(async () => (await client.get('evil')) === 'forged');
    await expect(
      resumeRestore(ARCHIVED, frozen.id, noPassword, await environment()),
    ).rejects.toMatchObject({ code: 'TM_TARGET_LOST' });
    expect(await fact(client, 'role')).toBe('slave');
    const aborted = await abortRestore(ARCHIVED, frozen.id, noPassword, await environment());
    expect(aborted.warnings).toEqual([]);
    expect([await client.dbsize(), await fact(client, 'role')]).toEqual([0, 'master']);
    expect(await client.config('GET', '*')).toEqual(settings);
  });
});
