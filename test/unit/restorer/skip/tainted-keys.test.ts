import { CommandDecoder } from '@tidemark/aof';
import { describe, expect, it } from 'vitest';
import type { KeyList } from '../../../../services/restorer/src/skip/key-notes.ts';
import {
  TaintedKeys,
  type TaintOptions,
  type TaintReport,
} from '../../../../services/restorer/src/skip/tainted-keys.ts';
import { layOut } from '../../../support/aof-layout.ts';

/** What leaving out the commands marked with `-` means; a command is its words. */
function analyse(commands: readonly string[], options: Partial<TaintOptions> = {}): TaintReport {
  const elements = commands.map((one) => one.replace(/^- /, '').split(' '));
  const { stream, boundaries } = layOut(elements);
  const skipped = commands.flatMap((one, i) =>
    one.startsWith('- ') ? [boundaries[i]!.offset] : [],
  );
  const skip = { from: skipped[0]!, to: skipped.at(-1)! };
  const tainted = new TaintedKeys({ skip, ...options });
  const decoder = new CommandDecoder({ annotations: false });
  // Pieces: what is told must not depend on where a log is cut.
  for (let at = 0; at < stream.length; at += 50) {
    for (const batch of decoder.push(stream.subarray(at, at + 50))) tainted.push(batch);
  }
  return tainted.report();
}

const names = ({ keys }: KeyList): string[] =>
  keys.map(({ db, key, command, sure }) => {
    return `${db === 0 ? '' : `${String(db)}/`}${key.toString()} ${command}${sure ? '' : '?'}`;
  });
const readers = (...commands: string[]): string[] => names(analyse(commands).readers);

describe('TaintedKeys', () => {
  it('tells what the skipped commands wrote, and what read it afterwards, on and on', () => {
    const report = analyse([
      'SET a 0',
      '- SET a 1',
      '- MSET b 1 c 1',
      'SUNIONSTORE d x a',
      'SUNIONSTORE e d',
      'SUNIONSTORE f x',
      'GETSET x 1',
    ]);
    expect(names(report.wrote)).toEqual(['a set', 'b mset', 'c mset']);
    expect(names(report.readers)).toEqual(['d sunionstore', 'e sunionstore']);
    expect(report).toMatchObject({ skippedCommands: 2, wroteDatabases: [], complete: true });
  });

  it.each<[string, string[], string[]]>([
    ['an update of the key itself', ['- SET a 1', 'INCR a'], ['a incr']],
    ['commands before it do not', ['SUNIONSTORE b a', '- SET a 1'], []],
    ['a whole overwrite ends it', ['- SET a 1', 'SET a 2', 'INCR a'], []],
    ['a deletion ends it', ['- SET a 1', 'DEL a', 'INCR a'], []],
    ['KEEPTTL keeps some of it', ['- SET a 1', 'SET a 2 KEEPTTL'], ['a set']],
    ['FLUSHALL ends it', ['- SET a 1', 'FLUSHALL', 'INCR a'], []],
    ['FLUSHDB ends it', ['- SET a 1', 'FLUSHDB', 'INCR a'], []],
    [
      'FLUSHDB of another database',
      ['- SET a 1', 'SELECT 1', 'FLUSHDB', 'SELECT 0', 'INCR a'],
      ['a incr'],
    ],
    ['the same key elsewhere', ['- SET a 1', 'SELECT 1', 'INCR a'], []],
    ['RENAME moves it', ['- SET a 1', 'RENAME a b', 'INCR b', 'INCR a'], ['b rename']],
    ['RENAME over it ends it', ['- SET a 1', 'RENAME b a', 'INCR a'], []],
    ['RENAME onto itself', ['- SET a 1', 'RENAME a a', 'INCR a'], ['a incr']],
    ['RENAMENX onto it', ['- DEL a', 'RENAMENX b a', 'INCR c'], ['a renamenx', 'b renamenx']],
    ['MOVE moves it', ['- SET a 1', 'MOVE a 3', 'INCR a', 'SELECT 3', 'INCR a'], ['3/a move']],
    ['COPY spreads it', ['- SET a 1', 'COPY a b', 'INCR a'], ['b copy', 'a incr']],
    ['COPY REPLACE ends it', ['- SET a 1', 'COPY b a REPLACE', 'INCR a'], []],
    ['COPY without it', ['- SET a 1', 'COPY b a'], ['a copy']],
    [
      'SWAPDB takes it along',
      ['- SET a 1', 'SWAPDB 0 2', 'INCR a', 'SELECT 2', 'INCR a'],
      ['2/a incr'],
    ],
    ['SMOVE', ['- SADD a m', 'SMOVE a b m', 'SADD b n'], ['a smove', 'b smove']],
    ['MSETNX', ['- SET a 1', 'MSETNX a 2 b 2'], ['a msetnx', 'b msetnx']],
    ['SORT with patterns', ['- SET a 1', 'SORT l BY w_* STORE d', 'SORT l STORE e'], ['d sort?']],
    ['SORT of it', ['- RPUSH a 1', 'SORT a BY w_* STORE d'], ['d sort']],
  ])('%s', (_, commands, expected) => {
    expect(readers(...commands)).toEqual(expected);
  });

  it('knows what was not there or was there after a flush that is left out', () => {
    const report = analyse([
      'SET a 1',
      '- FLUSHALL',
      'INCR a',
      'SET b 1',
      'INCR b',
      'SUNIONSTORE c b',
      'SUNIONSTORE c d',
      'SELECT 4',
      'INCR a',
    ]);
    expect(names(report.readers)).toEqual(['a incr', 'c sunionstore', '4/a incr']);
    expect(report).toMatchObject({ wroteDatabases: 'all', wrote: { count: 0 } });
    const one = analyse(['SELECT 2', '- FLUSHDB', 'INCR a', 'SELECT 1', 'INCR a']);
    expect(names(one.readers)).toEqual(['2/a incr']);
    expect(one.wroteDatabases).toEqual([2]);
    const after = analyse(['- FLUSHALL', 'INCR a', 'FLUSHDB', 'INCR a', 'INCR b']);
    expect(names(after.readers)).toEqual(['a incr']);
    expect(analyse(['- SWAPDB 3 1', 'INCR a']).wroteDatabases).toEqual([1, 3]);
  });

  it('tells commands that may have read anything while a key differs', () => {
    const report = analyse([
      'foo.bar x',
      '- SET a 1',
      'foo.bar x',
      'EVAL s 1 k',
      'Foo.Bar y',
      'SET a 2',
      'SET k 2',
      'foo.bar z',
    ]);
    expect(report.unknown).toMatchObject([
      { command: 'foo.bar', count: 2 },
      { command: 'eval', count: 1 },
    ]);
    expect(names(report.readers)).toEqual(['k eval?']);
    expect(analyse(['- foo.bar x', 'INCR a']).wroteDatabases).toBe('all');
    expect(names(analyse(['- SORT l BY w_* STORE d', 'INCR d', 'INCR e']).readers)).toEqual([
      'd incr',
    ]);
  });

  it('tells selected keys only, and follows all', () => {
    const selects = (_: number, data: Buffer, start: number, end: number): boolean =>
      data.toString('latin1', start, end).startsWith('s');
    const report = analyse(['- MSET a 1 s 1', 'SUNIONSTORE b a', 'SUNIONSTORE s2 b'], { selects });
    expect(names(report.wrote)).toEqual(['s mset']);
    expect(names(report.readers)).toEqual(['s2 sunionstore']);
  });

  it('says so when there are too many keys, and names the first ones', () => {
    const many = Array.from({ length: 50 }, (_, i) => `- SET k${String(i)} 1`);
    const report = analyse(many, { keysMax: 20, listedMax: 5 });
    expect(report).toMatchObject({ complete: false, wrote: { count: 50, more: false } });
    expect(report.wrote.keys).toHaveLength(5);
    expect(analyse(many, { listedMax: 5 }).complete).toBe(true);
  });

  it('names the command and its offset', () => {
    const { stream } = layOut([['SET', 'a', '1']]);
    const { readers: found } = analyse(['- SET a 1', 'INCR a', 'INCR a']);
    expect(found.keys).toEqual([
      {
        ...{ db: 0, key: Buffer.from('a'), command: 'incr', sure: true },
        offset: BigInt(stream.length),
      },
    ]);
  });
});
