import { CatalogError, UsageError } from '@tidemark/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Printer } from '../../../services/cli/src/output/printer.ts';

let out: string;
let err: string;
beforeEach(() => {
  [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
  return () => vi.restoreAllMocks();
});

describe('Printer', () => {
  it('prints a result as one document or as lines', () => {
    const lines = (): string[] => ['two', 'lines'];
    new Printer('json').result({ a: [1, null] }, lines);
    new Printer('text').result({ a: 1 }, lines);
    new Printer('text').result({ a: 1 }, () => []);
    expect([out, err]).toEqual(['{"a":[1,null]}\ntwo\nlines\n', '']);
  });

  it('prints errors to standard error with exit code, code and hint', () => {
    new Printer('text').error(new UsageError('TM_NOT_FOUND', 'no such', { hint: 'look' }));
    new Printer('text').error(new UsageError('TM_USAGE', 'wrong'));
    expect([out, err]).toEqual([
      '',
      'error[10]: no such (TM_NOT_FOUND)\nhint: look\nerror[2]: wrong (TM_USAGE)\n',
    ]);
  });

  it('prints no control characters of an error, and each error as one line', () => {
    const fault = 'it said \u001b[2J\u0007"no"\r\n  twice\u009b1A';
    new Printer('text').error(new UsageError('TM_USAGE', fault, { hint: `a\u001b]0;b\nc` }));
    expect(err).toBe('error[2]: it said [2J"no" twice1A (TM_USAGE)\nhint: a]0;b c\n');
    err = '';
    new Printer('json').error(new UsageError('TM_USAGE', fault));
    expect(err).toMatch(/^[^\p{Cc}]*\n$/u);
    expect(JSON.parse(err)).toMatchObject({ error: { message: fault } });
  });

  it('prints errors as one line of JSON, large offsets as strings', () => {
    const context = { offset: 2n ** 60n, at: null };
    new Printer('json').error(new CatalogError('TM_LOG_OWNER', 'taken', { context }));
    expect(JSON.parse(err)).toEqual({
      error: {
        ...{ code: 'TM_LOG_OWNER', exitCode: 11, message: 'taken', hint: null },
        context: { offset: '1152921504606846976', at: null },
      },
    });
    expect(err.endsWith('\n')).toBe(true);
  });

  it('keeps warnings off the result, and progress off all but terminals', () => {
    const printer = new Printer('text');
    printer.warn('careful');
    printer.progress('10 %');
    printer.step('planned');
    expect([out, err]).toEqual(['', 'warning: careful\n']);
  });

  it('shows progress in place on a terminal, and wipes it before anything else', () => {
    const tty = { isTTY: process.stderr.isTTY, columns: process.stderr.columns };
    Object.assign(process.stderr, { isTTY: true, columns: 20 });
    try {
      const printer = new Printer('text');
      printer.progress('x'.repeat(50));
      printer.result({}, () => ['done']);
      printer.result({}, () => ['again']);
      printer.progress('1 %');
      printer.wipe();
      printer.wipe();
      new Printer('json').progress('nothing');
    } finally {
      Object.assign(process.stderr, tty);
    }
    expect(err).toBe(`\r\u001b[2K${'x'.repeat(19)}\r\u001b[2K\r\u001b[2K1 %\r\u001b[2K`);
    expect(out).toBe('done\nagain\n');
  });
});
