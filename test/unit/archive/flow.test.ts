import { CommandDecoder, KEY_EFFECT, visitKeys } from '@tidemark/aof';
import { type Flow, type FlowEntry } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import { decodeFlow } from '../../../libs/archive/src/segment/flow.ts';
import { FlowWriter } from '../../../libs/archive/src/segment/flow-writer.ts';
import { command, log } from '../../support/command-log.ts';
import {
  buildSegment,
  buildSegments,
  footerOf,
  type BuildOptions,
} from '../../support/segments.ts';

async function flowOf(bytes: Buffer, options: BuildOptions = {}): Promise<Flow> {
  return (await footerOf(buildSegment(bytes, options).payload)).flow();
}

/** An entry as one line: effect, command, database, keys with their use and foreign database. */
function lineOf(entry: FlowEntry): string {
  const keys = entry.keys.map(({ db, key, read, write }) => {
    const use = `${read ? 'r' : ''}${write ? 'w' : ''}`;
    return `${db === entry.db ? '' : `${db}:`}${key.toString('latin1')}=${use}`;
  });
  const swapped = entry.swapped === null ? [] : [`${entry.swapped.first}<>${entry.swapped.second}`];
  return [entry.effect, entry.command, `@${entry.db}`, ...swapped, ...keys].join(' ');
}

describe('flow section', () => {
  it('lists every command with more than one key or a global effect, and no other', async () => {
    const lines = [
      'SET a 1',
      'RENAME a b',
      'INCR b',
      'SELECT 2',
      'COPY x y DB 5',
      'MOVE x 7',
      'MSET m1 1 m2 2',
      'DEL m1 m2 z',
      'DEL m1',
      'SUNIONSTORE all s1 s2',
      'MULTI',
      'LMOVE l1 l2 LEFT RIGHT',
      'EXEC',
      'PING',
      'SWAPDB 2 300',
      'FLUSHDB',
      'FLUSHALL ASYNC',
      'FUNCTION FLUSH',
      'SORT list BY w_* STORE out',
      'brandnew some thing',
      'EXPIRE b 10',
    ];
    const flow = await flowOf(log(...lines));
    expect(flow.complete).toBe(true);
    expect(flow.entries.map(lineOf)).toEqual([
      'keys rename @0 a=rw b=w',
      'keys copy @2 x=r 5:y=rw',
      'keys move @2 x=rw 7:x=rw',
      'keys mset @2 m1=w m2=w',
      'keys del @2 m1=w m2=w z=w',
      'keys sunionstore @2 all=w s1=r s2=r',
      'keys lmove @2 l1=rw l2=rw',
      'swap-db swapdb @2 2<>300',
      'flush-db flushdb @2',
      'flush-all flushall @2',
      'functions function @2',
      'unknown sort @2 list=r out=w',
      'unknown brandnew @2',
    ]);
    const starts = lines.map((_, i) => BigInt(log(...lines.slice(0, i)).length));
    const listed = [1, 4, 5, 6, 7, 9, 11, 14, 15, 16, 17, 18, 19].map((i) => starts[i]);
    expect(flow.entries.map((entry) => entry.offset)).toEqual(listed);
  });

  it('places a command that began in the segment before at its own first byte', async () => {
    const bytes = log('SET a 1', 'RENAME first second');
    const at = bytes.length - 5;
    const segments = buildSegments([[bytes.subarray(0, at)], [bytes.subarray(at)]]);
    const [before, after] = await Promise.all(
      segments.map(async ({ payload }) => (await footerOf(payload)).flow()),
    );
    expect(before!.entries).toEqual([]);
    expect(after!.entries.map((entry) => entry.offset)).toEqual([BigInt(log('SET a 1').length)]);
  });

  it('keeps binary keys, and calls a command with a key over 64 KiB unknown', async () => {
    const binary = Buffer.from([0, 255, 13, 10, 42]);
    const bytes = Buffer.concat([
      command('RENAME', binary, Buffer.from([0, 255, 14])),
      command('RENAME', 'k'.repeat(65_536), 'b'),
      command('RENAME', 'k'.repeat(65_537), 'b'),
      log('RENAME kk b'),
    ]);
    const { entries } = await flowOf(bytes);
    expect(entries[0]!.keys.map((one) => one.key)).toEqual([binary, Buffer.from([0, 255, 14])]);
    expect(entries[1]!.keys[0]!.key).toHaveLength(65_536);
    expect(entries[2]).toMatchObject({ effect: 'unknown', command: 'rename' });
    expect(entries[2]!.keys.map((one) => one.key.toString())).toEqual(['b']);
    expect(lineOf(entries[3]!)).toBe('keys rename @0 kk=rw b=w');
  });

  it('keeps more names than it numbers', async () => {
    const lines = Array.from({ length: 700 }, (_, i) => `x${i % 350} key`);
    const { entries } = await flowOf(log(...lines));
    expect(entries.map((entry) => entry.command)).toEqual(lines.map((line) => line.split(' ')[0]));
  });

  it('says that it is not complete when the commands are too many', () => {
    const decoder = new CommandDecoder();
    const writer = new FlowWriter(300);
    const bytes = log(
      ...Array.from({ length: 40 }, (_, i) => `RENAME key-${i * 7919} other-${i * 104729}`),
    );
    for (const batch of decoder.push(bytes)) {
      for (let row = 0; row < batch.count; row++) {
        const effect = visitKeys(batch, row, () => undefined);
        expect(effect).toBe(KEY_EFFECT.multi);
        writer.add(batch, row, batch.start[row]!, effect);
      }
    }
    expect(writer.complete).toBe(false);
    expect(decodeFlow(writer.finish(), 0n)).toEqual({ complete: false, entries: [] });
  });

  it('stops listing at its maximum of keys', async () => {
    const del = (count: number): Buffer => {
      let text = `*${count + 1}\r\n$3\r\nDEL\r\n`;
      for (let i = 0; i < count; i++) {
        const key = i.toString(36);
        text += `$${key.length}\r\n${key}\r\n`;
      }
      return Buffer.from(text);
    };
    expect((await flowOf(del(262_145))).complete).toBe(false);
    const most = await flowOf(del(262_144));
    expect(most.entries[0]!.keys).toHaveLength(262_144);
  });

  it('is refused where it is damaged', () => {
    const format = expect.objectContaining({ code: 'TM_SEGMENT_FORMAT' }) as Error;
    const good = Buffer.of(1, 0, 0, 0, 1, 97, 0, 1, 1, 0, 1, 107);
    expect(decodeFlow(good, 5n).entries.map(lineOf)).toEqual(['keys a @0 k=r']);
    for (let length = 2; length < good.length; length++) {
      expect(() => decodeFlow(good.subarray(0, length), 5n)).toThrow(format);
    }
    expect(() => decodeFlow(Buffer.alloc(0), 0n)).toThrow(format);
    const damages: readonly (readonly [number, number])[] = [
      [0, 2], // flags
      [2, 7], // effect
      [3, 3], // a name that does not exist
      [7, 99], // more keys than bytes
      [8, 8], // use of a key
      [9, 1], // shares bytes with no key
      [10, 200], // longer than the section
    ];
    for (const [at, value] of damages) {
      const damaged = Buffer.from(good);
      damaged[at] = value;
      expect(() => decodeFlow(damaged, 5n)).toThrow(format);
    }
  });
});
