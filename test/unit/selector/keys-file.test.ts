import { bytesOf } from '@tidemark/core';
import { readKeys } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';

const read = async (...parts: (string | Buffer)[]): Promise<string[]> =>
  (await readKeys(bytesOf(...parts.map((part) => Buffer.from(part as string))))).map((key) =>
    key.toString('latin1'),
  );

describe('readKeys()', () => {
  it.each([
    ['a\nb\n', ['a', 'b']],
    ['a\nb', ['a', 'b']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['\n\r\n\na\n\n', ['a']],
    ['', []],
    ['\n\n', []],
    ['a\\nb\\r\n\\x00\\xff\n \\t \n', ['a\nb\r', '\0\xff', ' \t ']],
    ['a\rb\r\r\n', ['a\rb\r']],
    ['\ufeffa\n', ['a']],
    ['\ufeff\r\na', ['a']],
    ['a\na\n', ['a', 'a']],
  ])('%j names a key on each line that is not empty', async (text, keys) => {
    expect(await read(text)).toEqual(keys);
    expect(await read(...Array.from(Buffer.from(text), (byte) => Buffer.of(byte)))).toEqual(keys);
  });

  it('takes bytes that are no UTF-8 as they are', async () => {
    expect(await read(Buffer.from([0xff, 0x0a, 0xc3, 0x28]))).toEqual(['\xff', '\xc3(']);
  });

  it('keeps keys of a source that uses its memory again', async () => {
    const memory = Buffer.alloc(4);
    async function* source(): AsyncGenerator<Uint8Array> {
      for (const text of ['ab\nc', 'd\nef', '\ngh\n']) {
        memory.write(text);
        yield await Promise.resolve(memory);
      }
    }
    const keys = await readKeys(source());
    expect(keys.map(String)).toEqual(['ab', 'cd', 'ef', 'gh']);
  });

  it('names the line and the place of a wrong escape', async () => {
    await expect(read('a\n\nbc\\d\n')).rejects.toMatchObject({
      code: 'TM_SELECTOR_SYNTAX',
      context: { pattern: 'bc\\d', position: 2, line: 3 },
    });
  });

  it('refuses one line and one byte over its limits', async () => {
    const limits = { linesMax: 2, bytesMax: 6 };
    const lines = (text: string): Promise<Buffer[]> => readKeys(bytesOf(Buffer.from(text)), limits);
    expect(await lines('ab\ncd\n')).toHaveLength(2);
    await expect(lines('a\nb\nc')).rejects.toMatchObject({
      code: 'TM_LIMIT',
      context: { lines: 3, linesMax: 2 },
    });
    await expect(lines('ab\ncdef')).rejects.toMatchObject({
      code: 'TM_LIMIT',
      context: { bytes: 7, bytesMax: 6 },
    });
  });
});
