import { describe, expect, it } from 'vitest';
import { CommandDecoder } from '@tidemark/aof';
import {
  digestOfCode,
  FunctionTally,
} from '../../../../services/restorer/src/feed/function-tally.ts';
import { command } from '../../../support/command-log.ts';

const code = (name: string, text = ''): Buffer =>
  Buffer.from(`#!lua engine=x name=${name}\nreturn ${text}`);

function expected(inSnapshot: number, ...commands: readonly (readonly (string | Buffer)[])[]) {
  const tally = new FunctionTally(inSnapshot);
  const log = Buffer.concat(commands.map((args) => command(...args)));
  for (const batch of new CommandDecoder().push(log)) tally.noteCommands(batch);
  const found = tally.expected;
  if (found === null) return null;
  return {
    loaded: Object.fromEntries(found.loaded),
    deleted: [...found.deleted],
    others: [found.othersMin, found.othersMax],
  };
}

describe('FunctionTally', () => {
  it('expects those of the snapshot where the log says nothing of functions', () => {
    expect(expected(3, ['SET', 'function', 'load'], ['FUNCTION'])).toEqual({
      ...{ loaded: {}, deleted: [], others: [3, 3] },
    });
  });

  it('follows what is loaded, replaced and deleted', () => {
    const commands = [
      ['FUNCTION', 'LOAD', code('a')],
      ['function', 'load', 'REPLACE', code('b', '1')],
      ['FUNCTION', 'LOAD', 'REPLACE', code('a', '2')],
      ['FUNCTION', 'DELETE', 'old'],
      ['FUNCTION', 'LOAD', code('c')],
      ['FUNCTION', 'DELETE', 'c'],
    ];
    expect(expected(3, ...commands)).toEqual({
      loaded: { a: digestOfCode(code('a', '2')), b: digestOfCode(code('b', '1')) },
      deleted: ['old', 'c'],
      others: [1, 2], // b may have been one of the snapshot's
    });
  });

  it('begins anew after a flush', () => {
    const commands = [
      ['FUNCTION', 'LOAD', code('a')],
      ['FUNCTION', 'DELETE', 'old'],
      ['FUNCTION', 'FLUSH', 'SYNC'],
      ['FUNCTION', 'LOAD', code('b')],
    ];
    expect(expected(3, ...commands)).toEqual({
      ...{ loaded: { b: digestOfCode(code('b')) }, deleted: [], others: [0, 0] },
    });
  });

  it.each<[string, (string | Buffer)[]]>([
    ['a payload', ['FUNCTION', 'RESTORE', 'payload']],
    ['a library without a name', ['FUNCTION', 'LOAD', 'return 1']],
    ['a name in quotes', ['FUNCTION', 'LOAD', '#!lua name="foo"\nreturn 1']],
    ['a name with a quote in it', ['FUNCTION', 'LOAD', '#!lua name=f"o"o\nreturn 1']],
    ['a word in quotes', ['FUNCTION', 'LOAD', '#!lua "name=foo"\nreturn 1']],
  ])('does not guess after %s', (_what, args) => {
    expect(expected(1, args)).toBeNull();
    expect(expected(1, args, ['FUNCTION', 'FLUSH'])).toMatchObject({ others: [0, 0] });
  });
});
