import { bytesOf, type ByteSource, collectBytes, FormatError } from '@tidemark/core';
import { passRdb, type RdbEntry, type RdbSummary, scanRdbEntries } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { inChunks } from '../../support/pattern.ts';
import { keyMeta, lzfStr, RdbBuilder } from '../../support/rdb-builder.ts';

const sample = (): RdbBuilder => {
  const builder = new RdbBuilder({ version: 11 }).aux('redis-ver', '7.2.0').selectDb(1);
  for (let at = 0; at < 300; at += 1) {
    builder.entry({ key: `key${at}`, ...(at % 3 === 0 ? { expiryMs: at } : {}) });
  }
  const key = 'p'.repeat(90);
  return builder.selectDb(4).entry({ key, keyBytes: lzfStr(key) });
};

const collect = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 1e9, () => new Error('too much'));

/** Chunks that came before a stream failed, and how it failed. */
async function drain(source: ByteSource): Promise<{ bytes: number; error: unknown }> {
  let bytes = 0;
  try {
    for await (const chunk of source) bytes += chunk.length;
  } catch (error) {
    return { bytes, error };
  }
  return { bytes, error: null };
}

describe('passRdb()', () => {
  it.each([1, 50, 1_000_000])(
    'gives the same bytes and then the summary (chunks of %i)',
    async (size) => {
      const bytes = sample().build();
      const summaries: RdbSummary[] = [];
      const passed = await collect(passRdb(inChunks(bytes, size), (one) => summaries.push(one)));
      expect(passed.equals(bytes)).toBe(true);
      expect(summaries).toHaveLength(1);
      expect(summaries[0]).toMatchObject({ keys: 301, expires: 100, checksum: 'verified' });
    },
  );

  it('passes no byte of the chunk that holds a fault, and no summary', async () => {
    const builder = sample();
    const at = builder.offset;
    const bytes = builder.raw(Buffer.of(200)).build();
    const summaries: RdbSummary[] = [];
    const result = await drain(passRdb(inChunks(bytes, 100), (one) => summaries.push(one)));
    expect(result.error).toMatchObject({ code: 'TM_RDB_TYPE', context: { offset: at } });
    expect(result.bytes).toBe(at - (at % 100));
    expect(summaries).toEqual([]);
  });

  it('ends with a fault when the RDB is cut short, changed or followed by bytes', async () => {
    const bytes = sample().build();
    const changed = Buffer.from(bytes);
    changed[60]! ^= 0x20;
    const cases: [Buffer, string][] = [
      [bytes.subarray(0, -1), 'TM_RDB_TRUNCATED'],
      [Buffer.alloc(0), 'TM_RDB_TRUNCATED'],
      [Buffer.concat([bytes, Buffer.from('x')]), 'TM_RDB_TRAILING'],
      [changed, 'TM_RDB_CHECKSUM'],
    ];
    for (const [damaged, code] of cases) {
      const result = await drain(passRdb(inChunks(damaged, 64), () => expect.unreachable()));
      expect(result.error).toMatchObject({ code });
    }
  });

  it('hands on a failure of the source and closes it when left early', async () => {
    let closed = false;
    async function* failing(): ByteSource {
      try {
        yield* bytesOf(sample().build());
        throw new Error('the disk failed');
      } finally {
        closed = true;
      }
    }
    const { error } = await drain(passRdb(failing(), () => expect.unreachable()));
    expect(error).toEqual(new Error('the disk failed'));
    closed = false;
    for await (const chunk of passRdb(failing(), () => expect.unreachable())) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(closed).toBe(true);
  });
});

describe('scanRdbEntries()', () => {
  it.each([1, 50, 1_000_000])('lists every entry in order (chunks of %i)', async (size) => {
    const builder = sample();
    const found: RdbEntry[] = [];
    for await (const batch of scanRdbEntries(inChunks(builder.build(), size))) {
      expect(batch.length).toBeGreaterThan(0);
      found.push(...batch);
    }
    expect(found).toEqual(builder.entries.map((entry) => ({ ...entry, keyMeta: null })));
  });

  it('gives values that can be read on their own', async () => {
    const bytes = new RdbBuilder().selectDb(0).string('k', 'the value').build();
    for await (const [entry] of scanRdbEntries(bytesOf(bytes))) {
      const { offset, valueOffset, bytes: length } = entry!;
      expect(bytes.subarray(valueOffset, offset + length).toString()).toBe('\tthe value');
    }
  });

  it('say where metadata of a key stands', async () => {
    const block = keyMeta(2);
    const bytes = new RdbBuilder().string('a', '').entry({ key: 'k', keyMeta: block }).build();
    for await (const [, entry] of scanRdbEntries(bytesOf(bytes))) {
      const { offset, bytes: length } = entry!.keyMeta!;
      expect(bytes.subarray(offset, offset + length)).toEqual(
        Buffer.concat([Buffer.of(0xf3), block]),
      );
    }
  });

  it('throws at the end of a damaged file', async () => {
    const scan = async (): Promise<void> => {
      const source = bytesOf(sample().build().subarray(0, -9));
      for await (const batch of scanRdbEntries(source)) expect(batch.length).toBeGreaterThan(0);
    };
    await expect(scan()).rejects.toThrow(FormatError);
  });
});
