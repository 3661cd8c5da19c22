import { CommandDecoder } from '@tidemark/aof';
import { bytesOf } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { DyingKeys } from '../../../../services/restorer/src/feed/dying-keys.ts';
import { log } from '../../../support/command-log.ts';
import { RdbBuilder, str } from '../../../support/rdb-builder.ts';

const UNTIL = 2_000;

/** Keys noted of a snapshot with one dying and one lasting key, and of a log after it. */
async function noted(...lines: readonly string[]): Promise<DyingKeys> {
  const dying = new DyingKeys(UNTIL);
  const rdb = new RdbBuilder({ version: 11 })
    .selectDb(0)
    .entry({ key: 'gone', value: str('v'), expiryMs: 1_500 })
    .entry({ key: 'stays', value: str('v'), expiryMs: 9_000 })
    .build();
  for await (const part of dying.tapRdb(bytesOf(rdb))) expect(part.length).toBeGreaterThan(0);
  const decoder = new CommandDecoder();
  for (const batch of decoder.push(log(...lines))) dying.noteCommands(batch);
  return dying;
}

function names(keys: ReadonlyMap<number, readonly Buffer[]> | null): unknown {
  return keys === null
    ? null
    : Object.fromEntries([...keys].map(([db, some]) => [db, some.map(String)]));
}

describe('DyingKeys', () => {
  it('has every key that was given an expiry before the bound, in its database', async () => {
    const dying = await noted(
      'SET a 1 PXAT 1000',
      'SET b 1 PXAT 9000',
      'SET c 1',
      'SELECT 3',
      'PEXPIREAT d 1999',
      'SET a 2 PXAT 1200',
    );
    expect(names(dying.all(UNTIL))).toEqual({ 0: ['gone', 'a'], 3: ['d', 'a'] });
  });

  it('knows none for certain before the whole snapshot was seen, and after its bound', async () => {
    const dying = new DyingKeys(UNTIL);
    expect(dying.all(UNTIL)).toBeNull();
    const seen = await noted();
    expect(names(seen.all(UNTIL))).toEqual({ 0: ['gone'] });
    expect(seen.all(UNTIL + 1)).toBeNull();
  });

  it('follows an expiry that goes along with its key', async () => {
    const dying = await noted('RENAME stays new', 'COPY stays twin DB 2', 'MOVE stays 5');
    expect(names(dying.all(UNTIL))).toEqual({
      0: ['gone', 'new', 'stays'],
      2: ['twin'],
      5: ['stays'],
    });
  });

  it.each(['SWAPDB 0 1', 'NOSUCHCOMMAND x', 'EVAL x 1 k', 'SETEX k 10 v', 'PEXPIRE k 10'])(
    'knows none for certain after %s',
    async (line) => {
      expect((await noted(line)).all(UNTIL)).toBeNull();
    },
  );

  it('keeps the latest of too many, says so, and stays within its memory', async () => {
    const lines = Array.from({ length: 30_000 }, (_, index) => `SET key:${index} v PXAT 1000`);
    const dying = await noted(...lines);
    expect(dying.all(UNTIL)).toBeNull();
    const kept = dying.candidates.get(0) ?? [];
    expect(kept.length).toBe(20_000);
    expect(String(kept.at(-1))).toBe('key:29999');
    const long = Array.from({ length: 9_000 }, (_, at) => `SET ${at}${'k'.repeat(1_000)} v PXAT 1`);
    const bytes = ((await noted(...long)).candidates.get(0) ?? []).map((key) => key.length);
    expect(bytes.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(8 * 1024 * 1024);
  });

  it('knows none for certain when a key was too long to be kept', async () => {
    expect((await noted(`SET ${'k'.repeat(1_025)} v PXAT 1000`)).all(UNTIL)).toBeNull();
  });
});
