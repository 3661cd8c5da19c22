import { CommandDecoder } from '@tidemark/aof';
import { RdbScanner } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import {
  VanishForecast,
  type Vanishing,
} from '../../../../services/restorer/src/feed/vanish-forecast.ts';
import type { TtlRule } from '../../../../services/restorer/src/plan/ttl-rule.ts';
import { layOut, type Element } from '../../../support/aof-layout.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';

const AT = 500_000;
const UNTIL = 1_000_000;
const ABSOLUTE: TtlRule = { mode: 'absolute', atMs: AT, nowMs: UNTIL };
const EMPTY = new RdbBuilder({ version: 10 }).build();

function forecast(rdb: Buffer, elements: readonly Element[], ttl: TtlRule = ABSOLUTE): Vanishing {
  const found = new VanishForecast(ttl, UNTIL);
  const scanner = new RdbScanner((batch) => found.noteEntries(batch));
  scanner.push(rdb);
  scanner.end();
  const { stream } = layOut(elements);
  const decoder = new CommandDecoder();
  for (let at = 0; at < stream.length; at += 50_000) {
    for (const batch of decoder.push(stream.subarray(at, at + 50_000))) found.noteCommands(batch);
  }
  return found.result();
}
const after = (...elements: readonly Element[]): Vanishing => forecast(EMPTY, elements);
const dies = (key: string): Element => ['PEXPIREAT', key, String(UNTIL)];
const lives = (key: string): Element => ['PEXPIREAT', key, String(UNTIL + 1)];
const exactly = (...sample: string[]): Vanishing => ({
  ...{ count: sample.length, bound: 'exact', sample },
});

describe('VanishForecast', () => {
  it('counts keys of the snapshot and of the log whose time has passed', () => {
    const rdb = new RdbBuilder({ version: 10 })
      .selectDb(0)
      .entry({ key: 'never' })
      .entry({ key: 'dead', expiryMs: UNTIL })
      .entry({ key: 'alive', expiryMs: UNTIL + 1 })
      .selectDb(7)
      .entry({ key: 'old form', expirySeconds: UNTIL / 1000 - 1 })
      .build();
    const log: Element[] = [dies('never'), ['SELECT', '7'], ['SET', 'x', '1', 'PXAT', '9']];
    expect(forecast(rdb, log)).toEqual(exactly('dead', 'never', 'old form', 'x'));
  });

  it.each<[string, Element[]]>([
    ['was deleted', [['DEL', 'b', 'a']]],
    ['was unlinked', [['UNLINK', 'a']]],
    ['was overwritten', [['SET', 'a', '2']]],
    ['was overwritten under a condition', [['SET', 'a', '2', 'XX', 'GET']]],
    ['was overwritten with others', [['MSET', 'b', '1', 'a', '2']]],
    ['was given a life', [lives('a')]],
    ['was given a life with a value', [['SET', 'a', '2', 'PXAT', String(UNTIL + 1)]]],
    ['was given a life by reading', [['GETEX', 'a', 'PXAT', String(UNTIL + 1)]]],
    ['was persisted', [['PERSIST', 'a']]],
    ['was persisted by reading', [['GETEX', 'a', 'PERSIST']]],
    ['was stored into', [['SINTERSTORE', 'a', 'b', 'c']]],
    ['was sorted into', [['SORT', 'b', 'BY', 'w_*', 'STORE', 'a']]],
    ['was restored without a time', [['RESTORE', 'a', '0', 'x', 'REPLACE']]],
    ['was copied over', [['COPY', 'b', 'a', 'REPLACE']]],
    ['was renamed over', [['RENAME', 'b', 'a']]],
    ['was flushed', [['FLUSHDB']]],
    [
      'was flushed with all',
      [
        ['SELECT', '3'],
        ['FLUSHALL', 'ASYNC'],
      ],
    ],
  ])('leaves out a key that %s since', (_, elements) => {
    expect(after(['SET', 'a', '1'], dies('a'), ...elements)).toEqual(exactly());
  });

  it.each<[string, Element]>([
    ['another value with its expiry kept', ['SET', 'a', '2', 'KEEPTTL']],
    ['an increment', ['INCR', 'a']],
    ['another element', ['SADD', 'a', 'x']],
    ['a flush of another database', ['SWAPDB', '4', '5']],
    ['reads', ['SINTERSTORE', 'b', 'a', 'c']],
  ])('still counts a key after %s', (_, element) => {
    expect(after(dies('a'), element)).toEqual(exactly('a'));
  });

  it('follows an expiry to the key it goes along with', () => {
    expect(after(dies('a'), ['RENAME', 'a', 'b'])).toEqual(exactly('b'));
    expect(after(dies('a'), ['COPY', 'a', 'b', 'DB', '4'])).toEqual(exactly('a', 'b'));
    const moved = after(dies('a'), ['MOVE', 'a', '9'], ['SELECT', '9'], ['DEL', 'a']);
    expect(moved).toEqual(exactly());
    const swapped = after(
      dies('a'),
      ['SWAPDB', '0', '3'],
      ['DEL', 'a'],
      ['SELECT', '3'],
      lives('b'),
    );
    expect(swapped).toEqual(exactly('a'));
    expect(after(dies('a'), ['SWAPDB', '0', '3'], ['SELECT', '3'], ['DEL', 'a'])).toEqual(
      exactly(),
    );
  });

  it('says up to when an element that was taken may have been the last', () => {
    expect(after(dies('a'), ['LPOP', 'a'])).toEqual({ count: 1, bound: 'atMost', sample: ['a'] });
    expect(after(dies('a'), ['LPOP', 'b'])).toEqual(exactly('a'));
    expect(after(dies('a'), ['SREM', 'a', 'x'], ['RENAME', 'a', 'b'])).toMatchObject({
      ...{ bound: 'atMost', sample: ['b'] },
    });
    // A new life, or the end, is certain again.
    expect(after(dies('a'), ['LPOP', 'a'], ['DEL', 'a'])).toEqual(exactly());
  });

  it.each<[string, Element]>([
    ['a script ran', ['EVAL', 'return 1', '0']],
    ['a command is not known', ['SOME.MODULE', 'a']],
    ['a time counts from an unknown instant', ['PEXPIRE', 'a', '5']],
  ])('does not claim to know when %s', (_, element) => {
    expect(after(dies('b'), element)).toEqual({ count: 1, bound: 'unknown', sample: ['b'] });
  });

  it.each<[TtlRule, string[]]>([
    [ABSOLUTE, ['dead', 'soon']],
    [{ ...ABSOLUTE, mode: 'remaining' }, ['dead']],
    [{ ...ABSOLUTE, mode: 'persist' }, ['dead']],
    [{ ...ABSOLUTE, mode: 'rebase', toMs: UNTIL - 2 }, ['dead', 'soon']],
    [{ ...ABSOLUTE, mode: 'rebase', toMs: UNTIL }, ['dead']],
    [{ ...ABSOLUTE, mode: 'rebase', toMs: 0 }, ['dead', 'soon', 'late']],
    [{ ...ABSOLUTE, mode: 'shift', byMs: -1_000 }, ['dead', 'soon', 'late']],
    [{ ...ABSOLUTE, mode: 'shift', byMs: UNTIL }, ['dead']],
  ])('goes by the new times, in the snapshot as in the log: %j', (ttl, names) => {
    const times = { dead: AT, soon: AT + 1, late: UNTIL + 1_000 };
    const rdb = new RdbBuilder({ version: 10 }).selectDb(0);
    for (const [key, expiryMs] of Object.entries(times)) rdb.entry({ key, expiryMs });
    const log = Object.entries(times).map(([key, ms]): Element => ['PEXPIREAT', key, String(ms)]);
    expect(forecast(rdb.build(), [], ttl)).toEqual(exactly(...names));
    expect(forecast(EMPTY, log, ttl)).toEqual(exactly(...names));
  });

  it('names twenty at most, and says up to when there are too many to be kept', () => {
    const many = Array.from({ length: 200_005 }, (_, i) => dies(`key:${i}`));
    const found = forecast(EMPTY, many);
    expect([found.count, found.bound, found.sample.length]).toEqual([200_005, 'atMost', 20]);
    expect(forecast(EMPTY, [...many, ['FLUSHALL']])).toEqual(exactly());
  });

  it('counts only what is handed over', () => {
    const found = new VanishForecast(ABSOLUTE, UNTIL);
    const decoder = new CommandDecoder();
    const { stream } = layOut([dies('a'), dies('b'), ['LPOP', 'b'], ['SELECT', '2'], dies('a')]);
    for (const batch of decoder.push(stream)) found.noteCommands(batch);
    expect(found.result((db, key) => db === 0 && key.toString() === 'a')).toEqual(exactly('a'));
  });
});
