import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  gapsOf,
  limitOf,
  timeText,
  windowOf,
} from '../../../services/cli/src/commands/search-run.ts';
import { placeDocument } from '../../../services/control/src/queries/key-events.ts';
import { runCli } from '../../../services/cli/src/program.ts';
import { ARCHIVED, FIRST, ONE_KEY, TestArchive } from '../../support/test-archive.ts';

afterEach(() => vi.restoreAllMocks());

/** Runs a command that is refused before anything is opened; its code and what it says. */
async function refused(...args: string[]): Promise<string> {
  const said: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said.push(String(text));
    return true;
  });
  const code = await runCli([...args, '-c', '/nowhere/tidemark.toml', '-o', 'json']);
  const { error } = JSON.parse(said.at(-1) ?? '') as { error: { code: string } };
  return `${String(code)} ${error.code}`;
}

describe('find and history refuse at once', () => {
  it.each([
    ['no command', ['find', 'a']],
    ['an empty name', ['find', 'a', '--command', 'DEL,']],
    ['a name with a space', ['find', 'a', '--command', 'XGROUP CREATE']],
    ['a type, which no log tells', ['find', 'a', '--command', 'DEL', '--type', 'hash']],
    ['a limit of nothing', ['find', 'a', '--command', 'DEL', '--limit', '0']],
    ['a window that is empty', ['history', 'a', 'k', '--since', '@20', '--until', '@10']],
    ['a database that is none', ['history', 'a', 'k', '--db', '-1']],
    ['no key', ['history', 'a']],
  ])('%s', async (_, args) => {
    expect(await refused(...args)).toBe('2 TM_USAGE');
  });

  it.each([
    [['find', 'a', '--command', 'DEL', '--regex', 'a('], 'TM_SELECTOR_SYNTAX'],
    [['history', 'a', 'k\\x1'], 'TM_SELECTOR_SYNTAX'],
    [['history', 'a', 'k', '--since', 'yesterday'], 'TM_TIME_SYNTAX'],
  ])('%j', async (args, code) => {
    expect(await refused(...args)).toBe(`2 ${code}`);
  });
});

describe('windowOf(), limitOf()', () => {
  it('are open by default', () => {
    expect(windowOf({})).toEqual({ since: null, until: null });
    expect(windowOf({ until: 'latest' }).until).toBeNull();
    expect(windowOf({ since: '@10', until: '@10' })).toEqual({ since: 10, until: 10 });
    expect(limitOf({})).toBe(Infinity);
    expect(limitOf({ limit: '7' })).toBe(7);
  });
});

describe('gapsOf()', () => {
  it('names the holes that a window meets, and what lies before and after the archive', async () => {
    await using archive = await TestArchive.begun();
    const through = (from: number, to: number): void => {
      for (let second = from; second <= to; second++) {
        archive.sample(second);
        archive.write(['SET', 'k', 'v']);
      }
    };
    through(FIRST, FIRST + 10);
    await archive.roll();
    await archive.close('detached');
    await archive.begin('t2', 'detached');
    await archive.snapshot('bk-2', ONE_KEY, FIRST + 20);
    through(FIRST + 20, FIRST + 30);
    await archive.roll();
    const { catalog } = await archive.environment();
    const gaps = (since: number | null, until: number | null): string[] =>
      gapsOf({ since, until }, catalog, ARCHIVED);
    const [hole, early, late] = [
      expect.stringMatching(/^between \S+Z and \S+Z nothing, or not all, was captured: detached$/),
      expect.stringContaining('the archive begins at'),
      expect.stringContaining('may not be stored yet'),
    ] as unknown[];
    expect(gaps(null, null)).toEqual([hole]);
    expect(gaps(FIRST + 15, FIRST + 25)).toEqual([hole]);
    expect(gaps(FIRST + 1, FIRST + 5)).toEqual([]);
    expect(gaps(FIRST + 21, null)).toEqual([]);
    expect(gaps(FIRST - 100, FIRST + 5)).toEqual([early]);
    expect(gaps(FIRST + 22, FIRST + 99)).toEqual([late]);
    expect(gaps(FIRST + 99, null)).toEqual([late]);
  });
});

describe('when a command ran', () => {
  it.each([
    [10_000, 10_999, '1970-01-01T00:00:10Z'],
    [10_000, 11_000, '1970-01-01T00:00:10Z..1970-01-01T00:00:11Z'],
    [10_000, null, 'from 1970-01-01T00:00:10Z'],
    [null, 10_000, 'until 1970-01-01T00:00:10Z'],
    [null, null, 'unknown'],
  ])('from %j to %j ms is %s', (notBeforeMs, notAfterMs, text) => {
    expect(timeText({ notBeforeMs, notAfterMs })).toBe(text);
    const place = { timeline: 't', offset: 5n, before: 4n, command: 'del' };
    const bounds = { notBeforeMs, notAfterMs };
    const exact = /^1970\S{15}Z$/.test(text);
    expect(placeDocument({ ...place, ...bounds, argumentCount: 1, bytes: 9 })).toMatchObject({
      ...{ second: exact ? text : null, offset: '5', before: '4', command: 'del' },
      ...{ arguments: 1, bytes: 9 },
    });
  });
});
