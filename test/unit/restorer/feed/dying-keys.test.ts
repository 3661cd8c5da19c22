import { CommandDecoder } from '@tidemark/aof';
import { bytesOf } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  DyingKeys,
  type DyingKeysState,
} from '../../../../services/restorer/src/feed/dying-keys.ts';
import {
  decodeDocument,
  encodeDocument,
} from '../../../../services/restorer/src/feeder/process/document.ts';
import type { TtlRule } from '../../../../services/restorer/src/plan/ttl-rule.ts';
import { layOut, type Element } from '../../../support/aof-layout.ts';
import { inChunks } from '../../../support/pattern.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { collect } from '../../../support/segments.ts';

const UNTIL = 1_000_000;
/** By which times stay as they are. */
const ABSOLUTE: TtlRule = { mode: 'absolute', atMs: 0, nowMs: UNTIL };
const EMPTY = new RdbBuilder({ version: 10 }).build();

/** What is noted of an RDB and of commands after it. */
async function noted(rdb: Buffer, ...elements: readonly Element[]): Promise<DyingKeys> {
  return notedBy(ABSOLUTE, rdb, ...elements);
}

async function notedBy(
  ttl: TtlRule,
  rdb: Buffer,
  ...elements: readonly Element[]
): Promise<DyingKeys> {
  const dying = new DyingKeys(UNTIL, ttl);
  await collect(dying.tapRdb(bytesOf(rdb)));
  return run(dying, ...elements);
}

/** Notes commands from the first on. */
function run(dying: DyingKeys, ...elements: readonly Element[]): DyingKeys {
  dying.beginCommands();
  const { stream } = layOut(elements);
  const decoder = new CommandDecoder();
  for (let at = 0; at < stream.length; at += 50_000) {
    for (const batch of decoder.push(stream.subarray(at, at + 50_000))) dying.noteCommands(batch);
  }
  return dying;
}

/** Which of some keys, as `<db> <name>`, are known to have expired at the point. */
function deadOf(dying: DyingKeys, ...names: readonly string[]): string[] {
  return names.filter((name) => {
    const [db = '', ...key] = name.split(' ');
    return dying.wasDead(Number(db), Buffer.from(key.join(' ')), UNTIL);
  });
}
const namesOf = (dying: DyingKeys): Record<number, string[]> =>
  Object.fromEntries([...dying.candidates].map(([db, keys]) => [db, keys.map(String)]));
const expiring = (key: string, ms: number): Element => ['PEXPIREAT', key, String(ms)];

describe('DyingKeys', () => {
  it('notes keys of the snapshot whose time has passed, by database', async () => {
    const rdb = new RdbBuilder({ version: 10 })
      .selectDb(0)
      .entry({ key: 'never' })
      .entry({ key: 'dead', expiryMs: UNTIL })
      .entry({ key: 'alive', expiryMs: UNTIL + 1 })
      .selectDb(7)
      .entry({ key: 'old form', expirySeconds: UNTIL / 1000 - 1 })
      .build();
    expect(namesOf(await noted(rdb))).toEqual({ 0: ['dead'], 7: ['old form'] });
  });

  it('tells what had expired by the point from what has since, where that can be told', async () => {
    const rdb = new RdbBuilder({ version: 10 })
      .selectDb(0)
      .entry({ key: 'dead', expiryMs: 500 })
      .entry({ key: 'since', expiryMs: 501 })
      .entry({ key: 'given anew', expiryMs: 500 })
      .build();
    const told = async (rule: Partial<TtlRule> & Pick<TtlRule, 'mode'>): Promise<string[]> => {
      const ttl = { atMs: 500, nowMs: 600, ...rule } as TtlRule;
      const copied: Element = ['COPY', 'dead', 'copied'];
      const dying = await notedBy(ttl, rdb, copied, expiring('given anew', 700));
      return deadOf(dying, '0 dead', '0 since', '0 given anew', '0 copied', '0 never seen');
    };
    expect(await told({ mode: 'absolute' })).toEqual(['0 dead', '0 copied']);
    expect(await told({ mode: 'shift', byMs: 1 })).toEqual(['0 dead', '0 copied']);
    // A life that was moved back may end before the point and be alive there.
    expect(await told({ mode: 'shift', byMs: -1 })).toEqual([]);
    expect(await told({ mode: 'rebase', toMs: 499 })).toEqual([]);
  });

  /** A key that was dead at the point, one that was alive, and one that has no expiry. */
  const LIVES: readonly Element[] = [
    expiring('dead', 500),
    expiring('since', 501),
    ['SET', 'ever', 'x'],
  ];
  const POINT: TtlRule = { ...ABSOLUTE, atMs: 500 };

  it.each<[string, readonly Element[], readonly string[]]>([
    [
      'RENAME',
      [
        ['RENAME', 'dead', 'a'],
        ['RENAME', 'since', 'b'],
      ],
      ['0 a'],
    ],
    [
      'RENAMENX',
      [
        ['RENAMENX', 'dead', 'a'],
        ['RENAMENX', 'since', 'b'],
      ],
      ['0 a'],
    ],
    [
      'COPY',
      [
        ['COPY', 'dead', 'a'],
        ['COPY', 'since', 'b', 'REPLACE'],
      ],
      ['0 dead', '0 a'],
    ],
    [
      'COPY ... DB',
      [
        ['COPY', 'dead', 'a', 'DB', '1'],
        ['RENAME', 'dead', 'b'],
      ],
      ['1 a', '0 b'],
    ],
    [
      'MOVE',
      [
        ['MOVE', 'dead', '1'],
        ['MOVE', 'since', '2'],
      ],
      ['1 dead'],
    ],
    [
      'SWAPDB',
      [
        ['SWAPDB', '0', '1'],
        ['SWAPDB', '2', '1'],
      ],
      ['2 dead'],
    ],
    [
      'a way of several',
      [
        ['RENAME', 'dead', 'a'],
        ['SWAPDB', '1', '0'],
        ['SELECT', '1'],
        ['MOVE', 'a', '2'],
      ],
      ['2 a'],
    ],
    ['RENAME over one that was dead', [['RENAME', 'since', 'dead']], []],
    ['RENAME over one that was not', [['RENAME', 'dead', 'since']], ['0 since']],
    ['RENAME of what never expires', [['RENAME', 'ever', 'dead']], []],
    ['an expiry given after the way', [['RENAME', 'dead', 'a'], expiring('a', 600)], []],
    [
      'a database that takes the place',
      [['SELECT', '1'], expiring('dead', 600), ['SWAPDB', '0', '1']],
      ['1 dead'],
    ],
  ])('follows an expiry: %s', async (_, moves, dead) => {
    const dying = await notedBy(POINT, EMPTY, ...LIVES, ...moves);
    const names = ['dead', 'since', 'ever', 'a', 'b'];
    const places = [0, 1, 2].flatMap((db) => names.map((name) => `${db.toString()} ${name}`));
    expect(deadOf(dying, ...places).sort()).toEqual([...dead].sort());
    expect(dying.all(UNTIL)).not.toBeNull();
  });

  it.each<[string, Element]>([
    ['a script ran', ['EVAL', 'return 1', '0']],
    ['a command is not known', ['SOME.MODULE', 'a']],
    ['a life began at a time that nobody knows', ['RESTORE', 'other', '7', 'x']],
  ])(
    'says of nothing that it was dead once %s, but of what was given an expiry after',
    async (_, element) => {
      const dying = await notedBy(POINT, EMPTY, ...LIVES, element, expiring('anew', 500));
      expect(deadOf(dying, '0 dead', '0 anew')).toEqual(['0 anew']);
      const moved = await notedBy(POINT, EMPTY, ...LIVES, element, ['RENAME', 'dead', 'anew']);
      expect(deadOf(moved, '0 dead', '0 anew')).toEqual([]);
    },
  );

  it('does not follow an expiry where commands are left out: what follows them may have failed', async () => {
    const dying = new DyingKeys(UNTIL, POINT, true);
    await collect(dying.tapRdb(bytesOf(EMPTY)));
    run(dying, ...LIVES, expiring('b', 600), ['COPY', 'dead', 'a'], ['RENAME', 'dead', 'b']);
    expect(deadOf(dying, '0 a', '0 b')).toEqual([]);
    expect(namesOf(dying)).toEqual({ 0: ['since', 'a', 'dead', 'b'] });
  });

  it('says the same when the commands, or the snapshot too, come once more', async () => {
    const rdb = new RdbBuilder({ version: 10 })
      .selectDb(0)
      .entry({ key: 'a', expiryMs: 500 })
      .build();
    const commands: readonly Element[] = [
      ['RENAME', 'a', 'b'],
      ['SWAPDB', '0', '1'],
      expiring('a', 600),
    ];
    const dying = await notedBy(POINT, rdb, ...commands);
    for (const snapshot of [false, false, true]) {
      if (snapshot) await collect(dying.tapRdb(bytesOf(rdb)));
      else expect(deadOf(dying, '0 a', '0 b', '1 a', '1 b')).toEqual(['1 b']);
      run(dying, ...commands);
      expect([deadOf(dying, '1 b'), namesOf(dying)]).toEqual([['1 b'], { 0: ['a'], 1: ['b'] }]);
    }
  });

  it('does not know what a key has that came from one it never saw', () => {
    const dying = run(new DyingKeys(UNTIL, POINT), ...LIVES, ['RENAME', 'unseen', 'dead']);
    expect([deadOf(dying, '0 dead'), namesOf(dying)]).toEqual([[], { 0: ['since', 'dead'] }]);
  });

  it('says of nothing that it was dead after the time up to which expiries were noted', async () => {
    const dying = await notedBy(POINT, EMPTY, ...LIVES, expiring('dead', UNTIL + 1));
    expect(dying.wasDead(0, Buffer.from('dead'), UNTIL + 1)).toBe(false);
  });

  it('passes the snapshot on as it is, and fails where it is damaged', async () => {
    const rdb = new RdbBuilder({ version: 10 }).selectDb(0).string('a', 'b'.repeat(5_000)).build();
    const dying = new DyingKeys(UNTIL, ABSOLUTE);
    expect((await collect(dying.tapRdb(inChunks(rdb, 1)))).equals(rdb)).toBe(true);
    const cut = new DyingKeys(UNTIL, ABSOLUTE);
    await expect(collect(cut.tapRdb(bytesOf(rdb.subarray(0, -3))))).rejects.toMatchObject({
      code: 'TM_RDB_TRUNCATED',
    });
    expect(cut.all(0)).toBeNull();
  });

  it('notes keys that a command gave a time that has passed', async () => {
    const dying = await noted(
      EMPTY,
      ...[expiring('a', 5), expiring('b', UNTIL + 1), ['SELECT', '3'], expiring('c', UNTIL)],
      ...[['SET', 'd', 'x', 'PXAT', '9'], ['MULTI'], ['RESTORE', 'e', '7', 'x', 'ABSTTL']],
      ['EXEC'],
    );
    expect(namesOf(dying)).toEqual({ 0: ['a'], 3: ['c', 'd', 'e'] });
  });

  it('goes by the new times of commands, and by the times of an RDB as they stand in it', async () => {
    const rdb = new RdbBuilder({ version: 10 })
      .selectDb(0)
      .entry({ key: 'r', expiryMs: UNTIL })
      .build();
    const commands = [
      expiring('dead', 6_000),
      expiring('soon', 6_001),
      expiring('late', UNTIL + 4_000),
    ];
    const at = { atMs: 6_000, nowMs: UNTIL };
    const under = async (ttl: TtlRule): Promise<string[] | undefined> =>
      namesOf(await notedBy(ttl, rdb, ...commands))[0];
    expect(await under({ mode: 'shift', byMs: -5_000, ...at })).toEqual([
      ...['r', 'dead', 'soon', 'late'],
    ]);
    expect(await under({ mode: 'rebase', toMs: UNTIL - 1, ...at })).toEqual(['r', 'dead', 'soon']);
    expect(await under({ mode: 'remaining', ...at })).toEqual(['r', 'dead']);
    expect(await under({ mode: 'persist', ...at })).toEqual(['r', 'dead']);
  });

  it('knows all of them when nothing else can have given a key an expiry', async () => {
    const dying = await noted(EMPTY, ['SET', 'a', '1'], expiring('a', 5), ['DEL', 'a'], ['PING']);
    expect([...dying.all(UNTIL)!.keys()]).toEqual([0]);
    expect(dying.all(UNTIL + 1)).toBeNull(); // keys that expire later were not noted
  });

  it('takes the key along that an expiry has gone to', async () => {
    const dying = await noted(
      EMPTY,
      ...[expiring('a', 5), expiring('c', 5), expiring('e', 5)],
      ...[
        ['RENAME', 'a', 'b'],
        ['COPY', 'c', 'd', 'DB', '4'],
        ['MOVE', 'e', '9'],
      ],
    );
    const names = namesOf(dying);
    expect(names[0]).toContain('b');
    expect(names[4]).toContain('d');
    expect(names[9]).toContain('e');
    expect(dying.all(UNTIL)).not.toBeNull();
  });

  it.each<[string, Element]>([
    ['databases were swapped, which is not told', ['SWAPDB', '0', 'one']],
    ['a script ran', ['EVAL', 'return 1', '0']],
    ['a command is not known', ['SOME.MODULE', 'a']],
  ])('does not claim to know all when %s', async (_, element) => {
    const dying = await noted(EMPTY, expiring('a', 5), element);
    expect(dying.all(UNTIL)).toBeNull();
    expect(namesOf(dying)[0]).toContain('a');
  });

  it('does not claim to know all before it has seen the snapshot', () => {
    expect(new DyingKeys(UNTIL, ABSOLUTE).all(UNTIL)).toBeNull();
  });

  it('keeps the latest of too many, and does not claim to know all then', async () => {
    const many = Array.from({ length: 20_003 }, (_, i) => expiring(`key:${i}`, 5));
    const dying = await noted(EMPTY, ...many);
    const keys = dying.candidates.get(0)!.map(String);
    expect([keys.length, keys[0], keys.at(-1)]).toEqual([20_000, 'key:3', 'key:20002']);
    expect(dying.all(UNTIL)).toBeNull();
  });

  it('counts a key once, and the last time it was given an expiry', async () => {
    const dying = await noted(EMPTY, expiring('a', 5), expiring('b', 5), expiring('a', 6));
    expect(namesOf(dying)).toEqual({ 0: ['b', 'a'] });
  });

  it('keeps binary names, and none over 1 KiB', async () => {
    const name = Buffer.from([0, 255, 10, 13, 128]);
    const dying = await noted(EMPTY, ['PEXPIREAT', name, '5']);
    expect(dying.candidates.get(0)).toEqual([name]);
    const long = await noted(EMPTY, expiring('x'.repeat(1_025), 5));
    expect([namesOf(long), long.all(UNTIL)]).toEqual([{}, null]);
  });

  it('says the same in another process', async () => {
    const binary = Buffer.from([0xff, 0, 0x0a]).toString('latin1');
    const rdb = new RdbBuilder({ version: 10 })
      .selectDb(0)
      .entry({ key: 'dead', expiryMs: 500 })
      .entry({ key: 'since', expiryMs: 900 })
      .selectDb(3)
      .entry({ key: binary, expiryMs: 400 })
      .build();
    const ttl = { ...ABSOLUTE, atMs: 500 };
    const here = await notedBy(ttl, rdb, ['RENAME', 'since', 'moved']);
    const line = encodeDocument(here.state);
    const there = DyingKeys.from(decodeDocument(line) as DyingKeysState);
    expect(there.candidates).toEqual(here.candidates);
    expect(there.all(UNTIL)).toEqual(here.all(UNTIL));
    expect(there.all(UNTIL + 1)).toBeNull();
    for (const [db, name] of [
      [0, 'dead'],
      [0, 'since'],
      [0, 'moved'],
      [3, binary],
    ] as const) {
      const key = Buffer.from(name, 'latin1');
      expect([name, there.wasDead(db, key, 900)]).toEqual([name, here.wasDead(db, key, 900)]);
    }
    expect(deadOf(there, '0 dead', '0 since', '0 moved')).toEqual(['0 dead']);
    const lost = await notedBy(ttl, EMPTY, ['EVAL', 'return 1', '0']);
    expect(DyingKeys.from(lost.state).all(UNTIL)).toBe(lost.all(UNTIL));
    expect(DyingKeys.from(new DyingKeys(UNTIL, ttl).state).all(UNTIL)).toBeNull();
  });
});
