import { isPlainFileName, MANIFEST_BYTES_MAX, parseManifest } from '@tidemark/aof';
import { FormatError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';

const parse = (text: string): ReturnType<typeof parseManifest> => parseManifest(Buffer.from(text));

const errorOf = (text: string | Buffer): FormatError => {
  try {
    parseManifest(Buffer.from(text));
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

const BASE = 'file a.1.base.rdb seq 1 type b\n';
const INCR = 'file a.1.incr.aof seq 1 type i\n';

describe('parseManifest()', () => {
  it('reads base, history and increments as Redis 7.0 writes them', () => {
    const manifest = parse(
      'file appendonly.aof.2.base.rdb seq 2 type b\n' +
        'file appendonly.aof.1.base.rdb seq 1 type h\n' +
        'file appendonly.aof.1.incr.aof seq 1 type h\n' +
        'file appendonly.aof.2.incr.aof seq 2 type i\n' +
        'file appendonly.aof.10.incr.aof seq 10 type i\n',
    );
    expect(manifest.base).toEqual({
      name: 'appendonly.aof.2.base.rdb',
      seq: 2,
      type: 'b',
      extra: {},
    });
    expect(manifest.history.map(({ name }) => name)).toEqual([
      'appendonly.aof.1.base.rdb',
      'appendonly.aof.1.incr.aof',
    ]);
    expect(manifest.incr.map(({ seq }) => seq)).toEqual([2, 10]);
  });

  it('keeps pairs it does not know, as Redis 8 writes them', () => {
    const { incr } = parse(
      'file a.1.incr.aof seq 1 type i startoffset 1234 endoffset 5678\n' +
        'file a.2.incr.aof seq 2 type i startoffset 5678 __proto__ x\n',
    );
    expect(incr[0]?.extra).toEqual({ startoffset: '1234', endoffset: '5678' });
    expect(Object.keys(incr[1]?.extra ?? {})).toEqual(['startoffset', '__proto__']);
  });

  it('skips comments, and reads pairs in any order, case and spacing', () => {
    const { base, incr } = parse(
      `# a comment\n#\n \tTYPE b  Seq 3\tFILE x.rdb \r\n# file bad seq 0 type i\n${INCR}`,
    );
    expect(base).toMatchObject({ name: 'x.rdb', seq: 3, type: 'b' });
    expect(incr).toHaveLength(1);
  });

  it('undoes the quoting of the server', () => {
    const names = {
      '"a b.aof"': 'a b.aof',
      '"q\\"uo.aof"': 'q"uo.aof',
      '"\\xc3\\xa9\\xC3\\xA9.aof"': 'éé.aof',
      "'it\\'s.aof'": "it's.aof",
      'x"tail"': 'xtail',
      '"\\q\\xzz"': 'qxzz',
    };
    for (const [written, name] of Object.entries(names)) {
      expect(parse(`file ${written} seq 1 type i\n`).incr[0]?.name).toBe(name);
    }
    for (const written of ['un"quoted part".aof', "'\\x41'", '"\\n"', '"\\a"', '"open']) {
      expect(errorOf(`file ${written} seq 1 type i\n`).context).toEqual({ line: 1, offset: 0 });
    }
  });

  it('accepts a manifest without files and one with a base only', () => {
    expect(parse('# nothing\n')).toEqual({ base: null, history: [], incr: [] });
    expect(parse(BASE).incr).toEqual([]);
  });

  it('refuses every name that could lead out of the folder', () => {
    for (const name of ['../x', '..', '.', '/etc/passwd', 'a/b', '"a\\\\b"', '""', '"a\\x00b"']) {
      expect(errorOf(`${BASE}file ${name} seq 1 type i\n`)).toMatchObject({
        code: 'TM_AOF_MANIFEST',
        context: { line: 2, offset: BASE.length },
      });
    }
    expect(isPlainFileName('x'.repeat(255))).toBe(true);
    expect(isPlainFileName('x'.repeat(256))).toBe(false);
    expect(isPlainFileName('a\nb')).toBe(false);
    expect(isPlainFileName('...')).toBe(true);
  });

  it('refuses what the server refuses, with line and offset', () => {
    const bad: [string, number][] = [
      ['', 1],
      ['\n', 1],
      [`${BASE}\n`, 2],
      [`${BASE}${BASE}`, 2],
      [`${INCR}${INCR}`, 2],
      ['file b seq 2 type i\nfile a seq 1 type i\n', 2],
      ['file a seq 1\n', 1],
      ['file a seq 1 type i odd\n', 1],
      ['file a seq 1 type x\n', 1],
      ['file a seq 1 type ii\n', 1],
      ['file a seq 0 type i\n', 1],
      ['file a seq -1 type i\n', 1],
      ['file a seq 1x type i\n', 1],
      ['file a seq 9007199254740993 type i\n', 1],
      ['fil a seq 1 type i\n', 1],
      ['file "a seq 1 type i\n', 1],
      ['file a seq 1 type i', 1],
      [`# c\n${BASE}file a.1`, 3],
      ['file a\0b seq 1 type i\n', 1],
    ];
    for (const [text, line] of bad) {
      expect(errorOf(text).code).toBe('TM_AOF_MANIFEST');
      expect(errorOf(text).context.line).toBe(line);
    }
    expect(errorOf(Buffer.from('file \xff seq 1 type i\n', 'latin1')).context.line).toBe(1);
  });

  it('holds the limits of a line and of the whole', () => {
    const line = (bytes: number): string => {
      const rest = 'file a seq 1 type i ';
      return `${rest}${'k'.repeat(bytes - rest.length - 3)} v\n`;
    };
    expect(parse(line(1024)).incr).toHaveLength(1);
    expect(errorOf(line(1025)).context).toEqual({ line: 1, offset: 0 });
    expect(errorOf(`#${'x'.repeat(1024)}\n`).code).toBe('TM_AOF_MANIFEST');
    const comments = '#\n'.repeat(MANIFEST_BYTES_MAX / 2);
    expect(parse(comments).incr).toEqual([]);
    expect(errorOf(`${comments}#`).code).toBe('TM_AOF_MANIFEST');
  });

  it('never accepts a torn manifest as a shorter one', () => {
    const whole = `${BASE}${INCR}file "a b" seq 2 type i\n`;
    const atLineEnd = [BASE.length, BASE.length + INCR.length];
    for (let end = 0; end < whole.length; end++) {
      if (atLineEnd.includes(end)) continue; // a rename, not an append, makes this impossible
      expect(errorOf(whole.slice(0, end)).code).toBe('TM_AOF_MANIFEST');
    }
  });
});
