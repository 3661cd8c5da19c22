import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  COMMANDS,
  CommandFilter,
  visitKeys,
  type CommandBatch,
  type CommandFilterSettings,
} from '@tidemark/aof';
import { command, decodeChunks, split } from '../support/command-log.ts';

const RUNS = 200;
const START = 1_000n;
const HOLD_MAX = 64 * 1024 * 1024;
const SILENT = new Set(['select', 'multi', 'exec']);

const key = fc.constantFrom('a', 'b', 'c', '*1\r\n$4\r\nPING\r\n');
const value = fc.oneof(
  fc.constantFrom('', '*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n', '\r\n'),
  fc.integer({ min: 1, max: 300 }).map((length) => 'x'.repeat(length)),
);
const line = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom('SET', 'append', 'LPUSH'), key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('MSET'), key, value, key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('DEL', 'INCR'), key) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('SELECT'), fc.constantFrom('0', '1', '2')) },
  { weight: 1, arbitrary: fc.constantFrom(['MULTI'], ['EXEC'], ['PING']) },
);
const lines = fc.array(line, { maxLength: 25 });
const sizes = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 20 });
const wanted = fc.subarray(['a', 'b', 'c', '*1\r\n$4\r\nPING\r\n']);

/** Keeps what writes one of some keys; decides about large commands as soon as the key is there. */
function keeping(keys: readonly string[]): CommandFilterSettings {
  const isWanted = (data: Buffer, start: number, end: number): boolean =>
    keys.includes(data.toString('latin1', start, end));
  return {
    keep: (batch: CommandBatch, row: number) => {
      let found = false;
      visitKeys(batch, row, (_, start, end, write) => {
        found ||= write && isWanted(batch.data, start, end);
      });
      return found;
    },
    keepLarge: (unfinished) => {
      const { spec, complete, argStart, argEnd, data } = unfinished;
      const first = COMMANDS[spec]?.name ?? '';
      if (complete < 2 || !['set', 'append', 'lpush'].includes(first)) return null;
      return isWanted(data, argStart[1] ?? 0, argEnd[1] ?? 0);
    },
  };
}

function filtered(filter: CommandFilter, chunks: readonly Buffer[]): Buffer {
  const out: Buffer[] = [];
  filter.begin({ offset: START, db: 1 });
  for (const chunk of chunks) {
    filter.push(chunk);
    out.push(...filter.writer.take());
  }
  filter.end();
  out.push(...filter.writer.takeAll());
  return Buffer.concat(out);
}

describe('CommandFilter', () => {
  it('passes on the wanted commands, each in its database, however the log is cut', () => {
    fc.assert(
      fc.property(lines, sizes, wanted, (log, cuts, keys) => {
        const raw = Buffer.concat(log.map((words) => command(...words)));
        const all = decodeChunks([raw], { offset: START, db: 1 }).commands;
        const expected = all.filter(
          ({ name, args }) =>
            ![...SILENT, 'ping'].includes(name) &&
            (name === 'mset' ? [args[1], args[3]] : [args[1]]).some((one) =>
              keys.includes(one ?? ''),
            ),
        );
        const filter = new CommandFilter(keeping(keys));
        const out = decodeChunks([filtered(filter, split(raw, ...cuts))], { db: 99 }).commands;
        const told = out.filter(({ name }) => !SILENT.has(name));
        expect(told.map(({ name, args, db }) => ({ name, args, db }))).toEqual(
          expected.map(({ name, args, db }) => ({ name, args, db })),
        );
        expect(out.some(({ name }) => name === 'multi' || name === 'exec')).toBe(false);
        expect(told.map(({ start }) => filter.offsets.sourceOf(Number(start)))).toEqual(
          expected.map(({ start }) => start),
        );
      }),
      { numRuns: RUNS },
    );
  });

  it('selects again only where the database changes', () => {
    const raw = Buffer.concat(
      [
        ['SET', 'a', '1'],
        ['SET', 'b', '2'],
        ['SET', 'a', '3'],
        ['SELECT', '2'],
        ['DEL', 'a'],
      ].map((words) => command(...words)),
    );
    const filter = new CommandFilter(keeping(['a']));
    expect(filtered(filter, [raw]).toString('latin1')).toBe(
      Buffer.concat(
        [
          ['SELECT', '1'],
          ['SET', 'a', '1'],
          ['SET', 'a', '3'],
          ['SELECT', '2'],
          ['DEL', 'a'],
        ].map((words) => command(...words)),
      ).toString('latin1'),
    );
  });

  it('forgets what was unfinished when it goes on elsewhere', () => {
    const filter = new CommandFilter(keeping(['a']));
    const first = filtered(filter, [
      command('SET', 'a', '1'),
      command('MSET', 'a', 'xx').subarray(0, 9),
    ]);
    const next = filtered(filter, [command('SET', 'a', '2')]);
    expect(Buffer.concat([first, next])).toEqual(
      Buffer.concat([command('SELECT', '1'), command('SET', 'a', '1'), command('SET', 'a', '2')]),
    );
  });

  it('refuses to end within a command of which a part went on', () => {
    const filter = new CommandFilter(keeping(['a']));
    filter.begin({ offset: START, db: 0 });
    filter.push(command('SET', 'a', 'x'.repeat(100)).subarray(0, 60));
    expect(() => filter.end()).toThrow(
      expect.objectContaining({ code: 'TM_AOF_LIMIT', context: { offset: START, max: HOLD_MAX } }),
    );
  });
});
