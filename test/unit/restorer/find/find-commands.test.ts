import { compileSelector, type SelectorSpec } from '@tidemark/selector';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  findCommands,
  type CommandSearch,
} from '../../../../services/restorer/src/find/find-commands.ts';
import type {
  FoundCommand,
  KeyMatcher,
  SearchTotals,
} from '../../../../services/restorer/src/find/found-command.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
});
afterEach(async () => archive[Symbol.asyncDispose]());

const OPEN = { since: null, until: null };

async function find(
  names: string,
  wish: Partial<CommandSearch> = {},
): Promise<{ found: FoundCommand[]; totals: SearchTotals }> {
  const search = { instance: ARCHIVED, names: new Set(names.split(' ')), keys: null, window: OPEN };
  const result = findCommands({ ...search, ...wish }, await archive.environment());
  const found: FoundCommand[] = [];
  for await (const batch of result) found.push(...batch);
  return { found, totals: result.totals };
}

function keys(spec: Partial<SelectorSpec>): KeyMatcher {
  const nothing = { include: [], exclude: [], dbs: null, excludeDbs: [] };
  return compileSelector({ ...nothing, types: null, excludeTypes: [], ...spec });
}
const literal = (key: string): KeyMatcher =>
  keys({ include: [{ kind: 'key', key: Buffer.from(key) }] });
const glob = (pattern: string): KeyMatcher => keys({ include: [{ kind: 'glob', pattern }] });

const offsets = ({ found }: { found: FoundCommand[] }): bigint[] =>
  found.map(({ offset }) => offset);

describe('findCommands()', () => {
  it('tells second, offset, database and keys of what it finds', async () => {
    archive.write(['SET', 'a', '1']);
    archive.sample(FIRST + 1, 200);
    const at = archive.write(['SELECT', '3']);
    archive.write(['del', 'a', 'b', 'c', 'd']);
    archive.sample(FIRST + 1, 900);
    archive.write(['SET', 'a', '2']);
    await archive.roll();
    const { found } = await find('del');
    expect(found).toEqual([
      {
        ...{ timeline: 't1', offset: at, before: at, command: 'del', db: 3 },
        ...{ argumentCount: 4, bytes: 41, keyCount: 4 },
        keys: ['a', 'b', 'c'].map((key) => ({ db: 3, key: Buffer.from(key) })),
        notBeforeMs: FIRST * 1000 + 1200,
        notAfterMs: FIRST * 1000 + 1900,
      },
    ]);
  });

  it('takes the bounds of time from neighbours, and says when there is but one', async () => {
    archive.sample(FIRST, 900);
    archive.write(['SET', 'a', '1']);
    await archive.roll();
    archive.write(['DEL', 'a']);
    await archive.roll();
    archive.write(['SET', 'b', '1']);
    archive.sample(FIRST + 2);
    archive.write(['DEL', 'b']);
    await archive.roll();
    const { found } = await find('del');
    expect(found.map(({ notBeforeMs, notAfterMs }) => [notBeforeMs, notAfterMs])).toEqual([
      [FIRST * 1000 + 900, FIRST * 1000 + 2000],
      [FIRST * 1000 + 2000, null],
    ]);
  });

  it('takes a second apart at its annotations', async () => {
    archive.write(`#TS:${String(FIRST)}`, ['SET', 'a', '1'], `#TS:${String(FIRST + 1)}`);
    archive.write(['FLUSHALL'], `#TS:${String(FIRST + 2)}`, ['SET', 'a', '2']);
    await archive.roll();
    const { found } = await find('flushall');
    expect(found).toMatchObject([
      { notBeforeMs: (FIRST + 1) * 1000, notAfterMs: (FIRST + 2) * 1000 - 1 },
    ]);
  });

  it('gives for a command of a transaction where that begins, be it segments before', async () => {
    const multi = archive.write(['SET', 'x', '1']);
    archive.write(['MULTI'], ['SET', 'a', patternBytes(1_500_000)]);
    await archive.roll();
    archive.write(['SET', 'b', patternBytes(1_500_000)]);
    await archive.roll();
    const inside = archive.write(['SET', 'c', '1']);
    const after = archive.write(['FLUSHALL'], ['EXEC']);
    archive.write(['FLUSHALL']);
    await archive.roll();
    const { found } = await find('flushall');
    expect(found).toMatchObject([
      { offset: inside, before: multi },
      { offset: after, before: after },
    ]);
  });

  it('finds a command that spans frames and segments once, in whole', async () => {
    archive.write(['SET', 'a', '1']);
    const start = archive.end;
    const [name, key] = ['$3\r\nSET\r\n', '$5\r\nlarge\r\n'];
    archive.writeLog(Buffer.from(`*3\r\n${name}${key}$3000000\r\n`));
    await archive.roll();
    archive.writeLog(patternBytes(2_500_000));
    await archive.roll();
    archive.writeLog(Buffer.concat([patternBytes(500_000), Buffer.from('\r\n')]));
    archive.write(['DEL', 'large']);
    await archive.roll();
    const large = await find('set', { keys: literal('large') });
    expect(large.found).toMatchObject([{ offset: start, keys: [{ key: Buffer.from('large') }] }]);
    expect(large.found[0]!.bytes).toBeGreaterThan(3_000_000);
    expect((await find('set')).found).toHaveLength(2);
    expect((await find('del')).found).toHaveLength(1);
  });

  it('narrows by keys: global commands reach them, other databases do not', async () => {
    const offset = [archive.write(['SET', 'user:1', '1'])];
    for (const element of [
      ['DEL', 'user:2'],
      ['FLUSHDB'],
      ['SELECT', '4'],
      ['FLUSHDB'],
      ['SWAPDB', '0', '4'],
      ['FLUSHALL'],
      ['UNLINK', 'x', 'user:1'],
    ]) {
      offset.push(archive.write(element));
    }
    await archive.roll();
    const names = 'del unlink flushdb flushall swapdb';
    const at = (...indexes: number[]): bigint[] => indexes.map((index) => offset[index]!);
    expect(offsets(await find(names))).toEqual(at(0, 1, 3, 4, 5, 6));
    expect(offsets(await find(names, { keys: literal('user:1') }))).toEqual(at(1, 3, 4, 5, 6));
    expect(offsets(await find(names, { keys: glob('user:*') }))).toEqual(at(0, 1, 3, 4, 5, 6));
    const here = keys({ include: [{ kind: 'glob', pattern: '*' }], dbs: [0] });
    expect(offsets(await find(names, { keys: here }))).toEqual(at(0, 1, 4, 5));
    expect(offsets(await find('del', { keys: literal('nothing') }))).toEqual([]);
  });

  it('keeps to the window, commands of unsure time within it', async () => {
    const begun: bigint[] = [];
    for (let second = 0; second < 6; second++) {
      archive.sample(FIRST + second);
      begun.push(archive.write(['SET', 'x', '1']));
      archive.write(['DEL', `k${String(second)}`]);
      archive.sample(FIRST + second, 800);
      await archive.roll();
    }
    const window = { since: FIRST + 2, until: FIRST + 3 };
    const { found, totals } = await find('del', { window });
    expect(offsets({ found })).toEqual(begun.slice(2, 4));
    expect(totals.segments).toBeLessThan(6);
    expect(offsets(await find('del', { window: { since: FIRST + 5, until: null } }))).toEqual(
      begun.slice(5),
    );
    const later = { since: FIRST + 9, until: null };
    archive.write(['DEL', 'last']); // when, only the future will tell
    await archive.roll();
    expect((await find('del', { window: later })).found).toHaveLength(1);
  });

  it('finds both passes of seconds that the clock showed twice, and does not mix their marks', async () => {
    const begun: [bigint, number][] = [];
    const write = (from: number, to: number, jumps: Parameters<TestArchive['sample']>[2]): void => {
      for (let second = from; second <= to; second++) {
        archive.sample(second, 0, second === from ? jumps : []);
        begun.push([archive.end, second]);
        archive.write(['DEL', 'k']);
        archive.sample(second, 500);
      }
    };
    write(FIRST, FIRST + 5, []);
    const [fromMs, toMs] = [(FIRST + 6) * 1000, (FIRST + 3) * 1000];
    write(FIRST + 3, FIRST + 8, [{ direction: 'back', fromMs, toMs }]);
    await archive.roll();
    const passes = begun.filter(([, second]) => second === FIRST + 3 || second === FIRST + 4);
    expect(passes).toHaveLength(4);
    const { found } = await find('del', { window: { since: FIRST + 3, until: FIRST + 4 } });
    expect(offsets({ found })).toEqual(passes.map(([offset]) => offset));
    expect(found.map(({ notBeforeMs }) => notBeforeMs)).toEqual(
      passes.map(([, second]) => second * 1000),
    );
    const { found: all } = await find('del');
    expect(all.map(({ notBeforeMs }) => notBeforeMs)).toEqual(
      begun.map(([, second]) => second * 1000),
    );
  });

  it('is not misled by a mark that came late, for the segment before', async () => {
    const position = Number(archive.write(['SET', 'x', '1']));
    archive.write(['DEL', 'x']);
    await archive.roll();
    archive.write(['SET', 'y', '1']);
    archive.writer.addSample({ seq: 1, position, timeUs: FIRST * 1_000_000, jumps: [] });
    await archive.roll(); // its only mark lies in the one before
    archive.sample(FIRST + 5);
    archive.write(['SET', 'z', '1']);
    await archive.roll();
    const { found } = await find('del', { window: { since: FIRST + 3, until: null } });
    expect(found).toMatchObject([{ notBeforeMs: FIRST * 1000, notAfterMs: (FIRST + 5) * 1000 }]);
  });

  it('reads nothing but footers where no such command ran', async () => {
    for (let i = 0; i < 3; i++) {
      if (i === 1) archive.write(['FLUSHALL']);
      archive.write(['SET', `k${String(i)}`, patternBytes(6_000_000)]);
      await archive.roll();
    }
    const { found, totals } = await find('flushall');
    expect(found).toHaveLength(1);
    expect(totals).toMatchObject({ segments: 3, segmentsRead: 1 });
    expect(totals.readBytes).toBeLessThan(totals.logBytes / 8);
    const none = await find('flushdb');
    expect(none).toMatchObject({ found: [], totals: { segmentsRead: 0 } });
    expect(none.totals.readBytes).toBeLessThan(totals.readBytes);
  });

  it('finds what an index that is a filter does not list', async () => {
    for (let i = 0; i < 3_000; i++) archive.write(['SET', `key:${String(i)}:${String(i * 7)}`, '']);
    archive.write(['HSET', 'key:77:x', 'f', 'v']);
    await archive.roll();
    const environment = await archive.environment();
    expect(environment.catalog.segments('t1')[0]!.header.indexKind).toBe('filter');
    expect((await find('hset', { keys: glob('key:7*') })).found).toHaveLength(1);
    expect((await find('hset', { keys: literal('key:77:x') })).found).toHaveLength(1);
    expect((await find('hset', { keys: literal('absent') })).totals.segmentsRead).toBe(0);
  });

  it('finds commands that are in no table by their name', async () => {
    archive.write(['SET', 'a', '1'], ['Foo.Bar', 'a'], ['GET', 'a']);
    await archive.roll();
    expect((await find('foo.bar')).found).toMatchObject([{ command: 'foo.bar', keyCount: 0 }]);
    // It may have reached any key.
    expect((await find('foo.bar', { keys: literal('b') })).found).toHaveLength(1);
  });

  it('reads several timelines, in the order of their opening', async () => {
    archive.write(['SET', 'x', '1'], ['FLUSHALL']);
    await archive.roll();
    await archive.close('detached');
    await archive.begin('t2', 'detached');
    archive.write(['FLUSHALL']);
    await archive.roll();
    const { found } = await find('flushall');
    expect(found.map(({ timeline }) => timeline)).toEqual(['t1', 't2']);
  });

  it('finds and names damage, and refuses an unknown instance', async () => {
    archive.write(['SET', 'large', patternBytes(400_000)], ['FLUSHALL']);
    await archive.roll();
    const key = archive.store.keys().find((one) => one.includes('/seg/'))!;
    const bytes = Buffer.from(archive.store.objects.get(key)!);
    bytes.writeUInt8(bytes[200_000]! ^ 1, 200_000);
    archive.store.tamper(key, bytes);
    await expect(find('flushall')).rejects.toMatchObject({
      ...{ code: 'TM_SEAL_CHUNK', context: { object: key } },
    });
    await expect(find('del', { instance: 'other' })).rejects.toMatchObject({
      code: 'TM_NOT_FOUND',
    });
  });

  it('ends when it is cancelled', async () => {
    archive.write(['FLUSHALL']);
    await archive.roll();
    const cancel = new AbortController();
    const environment = { ...(await archive.environment()), signal: cancel.signal };
    cancel.abort(new Error('enough'));
    const names = new Set(['flushall']);
    const search = { instance: ARCHIVED, names, keys: null, window: OPEN };
    const found = findCommands(search, environment)[Symbol.asyncIterator]();
    await expect(found.next()).rejects.toThrow('enough');
  });
});
