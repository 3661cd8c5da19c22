import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyTarget } from '../../support/key-flashback/check-selections.ts';
import { connect, DATABASES } from '../../support/key-flashback/key-history.ts';
import {
  diffKeyStates,
  readKeyStates,
  statesWhere,
  type KeyStates,
} from '../../support/key-flashback/key-oracle.ts';
import { selectKeys } from '../../support/key-flashback/random-selector.ts';
import { startRedis } from '../../support/redis-server.ts';
import { record, restoreError, restoreInto, type Recorded } from '../../support/replay-run.ts';

/** Each line is a part of the log: its offset is where the part before it ends. */
const BEFORE = ['SET acc 5', 'SADD tags a b c', 'SET other 1', 'HSET user name x'];
const LINES = [
  'COPY acc acc2',
  'DEL tags user',
  'INCR acc2',
  'RENAME acc2 acc3',
  'SADD tags d',
  'SWAPDB 0 1',
  'SET elsewhere 1',
  'FLUSHDB',
  'SWAPDB 0 1',
  'SUNIONSTORE all tags',
  'SET other 2',
] as const;
type Line = (typeof LINES)[number];

const run = (client: Redis, line: string): Promise<unknown> => {
  const [name = '', ...args] = line.split(' ');
  return client.call(name, ...args);
};
const CONFIG = { databases: DATABASES.toString() };

describe('a restore that leaves commands out', () => {
  let recorded: Recorded;
  let target: KeyTarget;
  beforeAll(async () => {
    target = await KeyTarget.start(null);
    recorded = await record({
      config: CONFIG,
      before: async (client) => {
        for (const line of BEFORE) await run(client, line);
      },
      during: LINES.map((line) => (client) => run(client, line)),
    });
  });
  afterAll(async () => {
    await target[Symbol.asyncDispose]();
    await recorded[Symbol.asyncDispose]();
  });

  /** Where a command stands: the log begins with a SELECT, which its first part holds. */
  const offsetOf = (line: Line): bigint => {
    const at = LINES.indexOf(line);
    return at === 0 ? SELECT_BYTES : (recorded.ends[at - 1] ?? 0n);
  };

  /** What a server holds that ran all but some of the lines; refusals are passed over. */
  async function without(skipped: readonly Line[]): Promise<KeyStates> {
    await using server = await startRedis({ aof: false, config: CONFIG });
    const client = await server.connect();
    for (const line of [...BEFORE, ...LINES]) {
      if ((skipped as readonly string[]).includes(line)) continue;
      await run(client, line).catch(() => undefined);
    }
    await using control = await connect(server);
    return await readKeyStates(control);
  }

  it.each<readonly [Line, readonly Line[]]>([
    ['DEL tags user', ['DEL tags user']],
    ['FLUSHDB', ['FLUSHDB']],
    ['COPY acc acc2', ['COPY acc acc2', 'DEL tags user', 'INCR acc2']],
  ])('is what the others alone come to: from %s on', async (first, skipped) => {
    const last = skipped.at(-1) ?? first;
    const skip = { from: offsetOf(first), to: offsetOf(last) };
    const report = await restoreInto(recorded.archive, target.server, {
      ...{ skip, promote: false, allowFlush: true },
    });
    expect(report.skip?.commands).toBe(skipped.length);
    expect(diffKeyStates(await without(skipped), await target.takeStates())).toEqual([]);
  });

  it('tells which selected keys were made from it, and restores these alone', async () => {
    const { spec, selects } = selectKeys(['all', 'tags', 'other']);
    const at = offsetOf('DEL tags user');
    const report = await restoreInto(recorded.archive, target.server, {
      ...{ skip: { from: at, to: at }, selector: spec, promote: false, allowFlush: true },
    });
    expect(report.skip).toMatchObject({
      commands: 1,
      wrote: [{ key: 'tags', command: 'del', offset: at.toString() }],
      readers: [
        { key: 'tags', command: 'sadd' },
        { key: 'all', command: 'sunionstore' },
      ],
      refused: '',
      complete: true,
    });
    const wanted = statesWhere(await without(['DEL tags user']), selects);
    expect(diffKeyStates(wanted, await target.takeStates())).toEqual([]);
  });

  it('goes on where a command fails for what is missing, and names it', async () => {
    const at = offsetOf('COPY acc acc2');
    const to = offsetOf('INCR acc2');
    const report = await restoreInto(recorded.archive, target.server, {
      ...{ skip: { from: at, to }, promote: false, allowFlush: true },
    });
    expect(report.skip?.refused).toBe('rename 1');
    expect(report.warnings.join()).toContain('rename 1');
    await target.takeStates();
  });

  it('refuses an offset at which no command starts, and one outside the replay', async () => {
    const at = offsetOf('INCR acc2');
    const within = await restoreError(recorded.archive, target.server, {
      skip: { from: at + 1n, to: at + 1n },
    });
    expect(within).toMatchObject({ code: 'TM_OFFSET_NO_COMMAND', context: { offset: at + 1n } });
    expect(within.context['nearestBefore']).toBe(at);
    expect(within.context['nearestAfter']).toBe(offsetOf('RENAME acc2 acc3'));
    const { end } = recorded.archive;
    const beyond = await restoreError(recorded.archive, target.server, {
      skip: { from: end, to: end },
    });
    expect(beyond).toMatchObject({ code: 'TM_OFFSET_NO_COMMAND', context: { offset: end } });
  });
});

const SELECT_BYTES = BigInt('*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n'.length);
