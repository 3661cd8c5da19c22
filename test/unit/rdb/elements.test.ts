import { describe, expect, it } from 'vitest';
import { keyMeta, len, lzfStr, moduleId, RdbBuilder, str } from '../../support/rdb-builder.ts';
import { cut, scanChunks, scanFault } from '../../support/rdb-scan.ts';

/** A file with every opcode of a product, and the opcodes in order. */
function everyOpcode(product: 'redis' | 'valkey'): { builder: RdbBuilder; opcodes: number[] } {
  const builder = new RdbBuilder({ product })
    .aux('redis-ver', '8.6.0')
    .aux('long', 'x'.repeat(5000))
    .aux('packed', lzfStr('y'.repeat(100)))
    .moduleAux('vectorset')
    .function2('#!lua name=lib\n');
  if (product === 'valkey') builder.slotImport('j'.repeat(40), [0, 10], [20, 16383]);
  builder.selectDb(3).resizeDb(5, 3);
  if (product === 'redis') builder.slotInfo(16383, 70_000, 0);
  builder
    .entry({ key: 'a', expiryMs: 1_700_000_000_000 })
    .entry({ key: 'b', expirySeconds: 1_700_000_000 })
    .entry({ key: 'c', idle: 100_000 })
    .aux('slot-info', '1,2,3')
    .entry({ key: 'd', frequency: 255, expiryMs: 5 })
    .entry({ key: 'e', idle: 3, expirySeconds: -1 });
  if (product === 'redis') {
    builder.entry({ key: 'f', keyMeta: keyMeta(0) });
    builder.entry({ key: 'g', expiryMs: 9, idle: 1, keyMeta: keyMeta(3) });
  }
  builder.moduleAux('vectorset');
  const own = product === 'valkey' ? [0xf3, 0xfe, 0xfb] : [0xfe, 0xfb, 0xf4];
  return { builder, opcodes: [0xfa, 0xfa, 0xfa, 0xf7, 0xf5, ...own, 0xfa, 0xf7] };
}

describe.each(['redis', 'valkey'] as const)('opcodes of %s', (product) => {
  it('are all passed, in every kind of chunk', () => {
    const { builder, opcodes } = everyOpcode(product);
    const bytes = builder.build();
    for (const size of [bytes.length, 13, 1]) {
      const found = scanChunks(cut(bytes, size));
      expect(found.entries).toEqual(builder.entries);
      expect(found.opcodes.map(({ opcode }) => opcode)).toEqual(opcodes);
    }
  });

  it('cover the file without a gap', () => {
    const { builder } = everyOpcode(product);
    const { entries, opcodes } = scanChunks([builder.build()]);
    const all = [...entries, ...opcodes].sort((left, right) => left.offset - right.offset);
    let at = 9;
    for (const { offset, bytes } of all) {
      expect(offset).toBe(at);
      at += bytes;
    }
    expect(at).toBe(builder.offset);
  });
});

describe('an expiry', () => {
  it('may stand behind idle time and frequency', () => {
    const builder = new RdbBuilder().selectDb(0);
    builder.raw(Buffer.of(0xf8, 3)).entry({ key: 'k', expiryMs: 77 });
    const { entries } = scanChunks([builder.build()]);
    expect(entries).toMatchObject([{ expiryMs: 77, offset: builder.entries[0]!.offset - 2 }]);
  });

  it('of -1 ms is none, as a server reads it', () => {
    const bytes = new RdbBuilder().selectDb(0).entry({ key: 'k', expiryMs: -1 }).build();
    expect(scanChunks([bytes]).entries[0]?.expiryMs).toBeNull();
    expect(scanChunks([bytes]).summary.expires).toBe(0);
  });

  it('far away or long ago is read', () => {
    const times = [0, 1, -5, 2 ** 52, 253_402_300_799_999];
    const builder = new RdbBuilder().selectDb(0);
    for (const expiryMs of times) builder.entry({ key: String(expiryMs), expiryMs });
    const bytes = builder.build();
    for (const size of [bytes.length, 1]) {
      const { entries } = scanChunks(cut(bytes, size));
      expect(entries.map(({ expiryMs }) => expiryMs)).toEqual(times);
    }
  });
});

describe('opcodes that are refused', () => {
  const expiry = Buffer.of(0xfc, 1, 0, 0, 0, 0, 0, 0, 0);
  it.each([
    ['functions of a release candidate', 'redis', Buffer.of(0xf6), 0],
    ['HASH_TEMPLATE', 'redis', Buffer.of(0xf2), 0],
    ['UPDATE', 'valkey', Buffer.of(0xf2), 0],
    ['a second expiry', 'redis', Buffer.concat([expiry, expiry]), 9],
    ['metadata twice', 'redis', Buffer.of(0xf3, 0, 0xf3, 0), 2],
    ['a database behind an expiry', 'redis', Buffer.concat([expiry, Buffer.of(0xfe, 0)]), 9],
    ['the end behind an expiry', 'redis', Buffer.concat([expiry, Buffer.of(0xff)]), 9],
    ['an AUX field behind an idle time', 'valkey', Buffer.of(0xf8, 0, 0xfa), 2],
    ['a slot import behind a frequency', 'valkey', Buffer.of(0xf9, 0, 0xf3), 2],
  ] as const)('%s (%s)', (_, product, bytes, at) => {
    const builder = new RdbBuilder({ product }).selectDb(0).string('fine', 'x');
    const offset = builder.offset + at;
    const file = builder.raw(bytes).string('k', 'v').build();
    for (const size of [file.length, 1]) {
      expect(scanFault(file, size)).toMatchObject({
        code: 'TM_RDB_OPCODE',
        context: { offset, opcode: bytes[at] },
      });
    }
  });

  it('MODULE_AUX without its item in front', () => {
    const builder = new RdbBuilder();
    const offset = builder.offset + 10;
    builder.raw(Buffer.of(0xf7), moduleId('vectorset', 1), len(1), len(1), len(0));
    expect(scanFault(builder.build())).toMatchObject({
      code: 'TM_RDB_OPCODE',
      context: { offset },
    });
  });
});

describe('limits', () => {
  it('a database above 2^31 - 1', () => {
    const bytes = new RdbBuilder().selectDb(2 ** 31).build();
    const context = { db: 2 ** 31, limit: 2 ** 31 - 1 };
    expect(scanFault(bytes)).toMatchObject({ code: 'TM_RDB_LIMIT', context });
  });

  it('more than 65,536 databases with keys', () => {
    const builder = new RdbBuilder();
    for (let db = 0; db <= 65_536; db += 1) builder.selectDb(db).string('k', '');
    const context = { limit: 65_536, offset: builder.offset - 4 };
    expect(scanFault(builder.build())).toMatchObject({ code: 'TM_RDB_LIMIT', context });
  });

  it('more than 256 modules', () => {
    const builder = new RdbBuilder();
    for (let at = 0; at <= 256; at += 1) builder.moduleAux(`module${100 + at}`);
    expect(scanFault(builder.build())).toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { limit: 256 },
    });
  });

  it('a name of an AUX field over 64 KiB', () => {
    const bytes = new RdbBuilder().raw(Buffer.of(0xfa), len(65_537), str('x')).build();
    const context = { offset: 10, length: 65_537n, limit: 65_536 };
    expect(scanFault(bytes)).toMatchObject({ code: 'TM_RDB_LIMIT', context });
  });
});
