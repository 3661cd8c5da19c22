import { commandArguments } from '@tidemark/resp';
import { describe, expect, it } from 'vitest';

describe('commandArguments()', () => {
  it('gives the arguments of an array of bulk strings', () => {
    const args = [Buffer.from('PING'), Buffer.alloc(0)];
    expect(commandArguments(args)).toEqual(args);
  });

  it.each([
    ['an empty array', []],
    ['a null', null],
    ['a bulk string', Buffer.from('PING')],
    ['an array with a null', [Buffer.from('a'), null]],
    ['a nested array', [[Buffer.from('a')]]],
    ['a simple string', { kind: 'simple', text: 'PING' } as const],
  ])('refuses %s', (_name, value) => {
    expect(commandArguments(value)).toBeNull();
  });
});
