import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import {
  iso,
  secondOf,
  Tidemark,
  type CliError,
  type RestoreDocument,
  type WindowsDocument,
} from '../support/tidemark-cli.ts';

const ID = 'shop';

interface TimelinesDocument {
  readonly shards: readonly {
    readonly timelines: readonly {
      readonly timeline: string;
      readonly from: string;
      readonly provenTo: string;
      readonly offsets: { readonly from: string; readonly to: string };
      readonly opened: { readonly reason: string };
      readonly closed: null;
      readonly steps: readonly unknown[];
    }[];
  }[];
}

let tidemark: Tidemark;
let source: RedisServer;
let redis: Redis;
let windows: WindowsDocument;

/** Plans a restore and gives its document. */
const plan = (...flags: readonly string[]): Promise<RestoreDocument> =>
  tidemark.json('restore', ID, '--dry-run', ...flags);
const refused = (code: number, ...flags: readonly string[]): Promise<CliError> =>
  tidemark.refused(code, 'restore', ID, '--dry-run', ...flags);

beforeAll(async () => {
  [tidemark, source] = await Promise.all([Tidemark.init(), startRedis()]);
  redis = await source.connect();
  await tidemark.add(ID, source);
  await tidemark.serve();
  for (let i = 0; i < 30; i++) {
    await redis.multi().set(`key:${i}`, i).incr('count').exec();
    await delay(100);
  }
  windows = await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});

afterAll(async () => {
  for (const part of [tidemark, source]) await part[Symbol.asyncDispose]();
});

describe.concurrent('restore to a point', () => {
  it('--exclusive means the state before the second', async () => {
    const second = secondOf(windows.latest ?? '') - 1;
    const [exclusive, before] = [
      await plan('--at', iso(second), '--exclusive'),
      await plan('--at', iso(second - 1)),
    ];
    expect(exclusive.cut).toEqual(before.cut);
    expect(exclusive.at).toBe(iso(second - 1));
  });

  it('--before takes the start of a command or transaction only, and names the nearest', async () => {
    const second = secondOf(windows.latest ?? '') - 2;
    const { offset, timeline } = (await plan('--at', iso(second))).cut;
    expect((await plan('--before', offset)).cut).toMatchObject({ offset, timeline });
    const inside = (BigInt(offset) + 20n).toString();
    const refusal = await refused(13, '--before', inside);
    expect(refusal).toMatchObject({
      code: 'TM_OFFSET_NO_COMMAND',
      context: { offset: inside, nearestBefore: offset },
    });
    // The same place as an offset goes back to the boundary.
    expect((await plan('--offset', inside)).cut.offset).toBe(offset);
  });

  it('--timeline looks on the named timeline, and says how to find one', async () => {
    const second = iso(secondOf(windows.latest ?? '') - 1);
    const { cut } = await plan('--at', second);
    expect((await plan('--at', second, '--timeline', cut.timeline)).cut).toEqual(cut);
    expect(await refused(10, '--at', second, '--timeline', 'other')).toMatchObject({
      ...{ code: 'TM_NOT_FOUND', hint: `tidemark windows ${ID} --timelines` },
    });
  });

  it.each([
    '--at @1 --before 1',
    '--offset 1 --before 1',
    '--before 1 --backup bk-1',
    '--offset 1 --exclusive',
    '--backup bk-1 --timeline t',
  ])('%s is refused as usage', async (flags) => {
    expect(await refused(2, ...flags.split(' '))).toMatchObject({ code: 'TM_USAGE' });
  });
});

describe.concurrent('windows --timelines', () => {
  it('shows the timelines beside what it shows without', async () => {
    const document = await tidemark.json<WindowsDocument & TimelinesDocument>(
      ...['windows', ID, '--timelines'],
    );
    expect(document).toMatchObject({
      ...{ instance: ID, earliest: windows.earliest },
      shards: [
        {
          shard: '0',
          holes: [],
          timelines: [
            {
              ...{ from: windows.earliest, offsets: { from: '0' }, closed: null, steps: [] },
              opened: { reason: 'attach' },
            },
          ],
        },
      ],
    });
    const plain = await tidemark.json<WindowsDocument & TimelinesDocument>('windows', ID);
    expect(Object.keys(plain.shards[0] ?? {}).sort()).toEqual(['holes', 'pins', 'ranges', 'shard']);
  });

  it('prints them as a table', async () => {
    const { out } = await tidemark.run('windows', ID, '--timelines');
    expect(out).toMatch(/^TIMELINE +FROM \(UTC\) +PROVEN TO +OFFSETS +OPENED +CLOSED$/m);
    expect(out).toMatch(/ 0\.\.\d+ .* attach +open$/m);
  });
});
