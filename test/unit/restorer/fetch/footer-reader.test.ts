import { framesOfRange } from '@tidemark/archive';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  framesSource,
  openFooter,
  type FooterReaderOptions,
  type OpenedSegment,
} from '../../../../services/restorer/src/fetch/footer-reader.ts';
import type { ObjectReader } from '../../../../services/restorer/src/fetch/object-reader.ts';
import { objectOfSegment } from '../../../../services/restorer/src/plan/read-marks.ts';
import type { MemoryStore } from '../../../support/memory-store.ts';
import { openPlanned } from '../../../support/opened-plan.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
let options: FooterReaderOptions & { bytesRead: { bytes: number } };
let store: MemoryStore;
const segments: Parameters<typeof objectOfSegment>[0][] = [];

beforeEach(async () => {
  archive = await TestArchive.begun();
  archive.write(['SET', 'a', '1'], ['DEL', 'a']);
  await archive.roll(); // the body of its entry
  archive.write(['SET', 'large', patternBytes(4_000_000)], ['SET', 'last', '1']);
  await archive.roll(); // an object of its own
  const environment = await archive.environment();
  store = archive.store.through();
  const point = { kind: 'offset', offset: archive.end, timeline: null } as const;
  const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
  const { reader, keys } = await openPlanned(request, { ...environment, store });
  const keyOf = (id: string): Promise<ReturnType<typeof keys.of>> => Promise.resolve(keys.of(id));
  options = { reader, keyOf, bytesRead: { bytes: 0 } };
  segments.splice(0, Infinity, ...environment.catalog.segments('t1'));
  store.calls.length = 0;
});
afterEach(async () => archive[Symbol.asyncDispose]());

/** A reader whose ranged reads are told. */
function watched(reader: ObjectReader, told: (range: string) => void): ObjectReader {
  return new Proxy(reader, {
    get(target, name) {
      if (name === 'sealedRange') {
        const sealedRange: ObjectReader['sealedRange'] = (object, start, end) => {
          told(`${String(start)}-${String(end)}`);
          return target.sealedRange(object, start, end);
        };
        return sealedRange;
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const open = (index: number): Promise<OpenedSegment> =>
  openFooter(objectOfSegment(segments[index]!), options);

describe('openFooter()', () => {
  it('reads a segment within its entry by one request, frames and all', async () => {
    const opened = await open(0);
    const frames = await opened.footer.frames();
    const bytes = await collect(framesSource(opened, frames));
    expect(bytes.toString()).toContain('SET\r\n$1\r\na\r\n');
    expect((await opened.footer.keys()).mayContain(0, Buffer.from('a'))).toBe(true);
    expect(store.calls).toHaveLength(1);
    expect(options.bytesRead.bytes).toBe(segments[0]!.object.size);
  });

  it('reads of a large segment its footer, and the frames that are asked for', async () => {
    const segment = segments[1]!;
    const opened = await open(1);
    const frames = await opened.footer.frames();
    expect(options.bytesRead.bytes).toBeLessThan(segment.object.size / 8);
    const from = segment.end - 30n;
    const wanted = framesOfRange(frames, from, segment.end);
    expect(wanted).toHaveLength(1);
    const bytes = await collect(framesSource(opened, wanted, { from }));
    expect(bytes.toString()).toBe('ET\r\n$4\r\nlast\r\n$1\r\n1\r\n'.padStart(30, '*3\r\n$3\r\nS'));
    expect(options.bytesRead.bytes).toBeLessThan(segment.object.size / 4);
  });

  it('reads no byte of a large segment twice while its footer is looked through', async () => {
    const values = patternBytes(4_000_000, 7);
    const key = (i: number): string => `key:${String((i * 7_919) % 1_000_003)}`;
    for (let i = 0; i < 20_000; i++) {
      archive.write(['SET', key(i), values.subarray(i * 200, i * 200 + 200)]);
    }
    await archive.roll();
    const { catalog } = await archive.environment();
    const ranges: string[] = [];
    const opened = await openFooter(objectOfSegment(catalog.segments('t1')[2]!), {
      ...options,
      reader: watched(options.reader, (range) => ranges.push(range)),
    });
    const { footer } = opened;
    for (let round = 0; round < 2; round++) {
      await footer.frames();
      await footer.stats();
      await footer.keys();
      await footer.flow();
      await footer.marks();
    }
    expect(opened.footer.header.indexKind).toBe('keys');
    expect(ranges.length).toBeLessThan(5);
    expect(new Set(ranges).size).toBe(ranges.length);
  });

  it('reads no chunk of a footer twice when its sections reach over several', async () => {
    // Names of which the list is longer than a chunk, and values beside which it is short.
    const digits = (i: number, count: number): string =>
      Array.from({ length: count }, (_, n) => String(Math.sin(i + n / 16)).slice(-12)).join('');
    const sets = Array.from({ length: 30_000 }, (_, i) => ['SET', digits(i, 1), digits(-i, 14)]);
    for (let at = 0; at < sets.length; at += 1_000) archive.write(...sets.slice(at, at + 1_000));
    await archive.roll();
    const environment = await archive.environment();
    const segment = environment.catalog.segments('t1').at(-1)!;
    const ranges: [number, number][] = [];
    const opened = await openFooter(objectOfSegment(segment), {
      ...options,
      reader: watched(options.reader, (range) => {
        const [start = 0, end = 0] = range.split('-').map(Number);
        ranges.push([start, end]);
      }),
    });
    await opened.footer.flow();
    expect((await opened.footer.keys()).framesOf(0, Buffer.from(digits(1, 1)))).toEqual([0]);
    await opened.footer.frames();
    const sorted = ranges.filter(([start]) => start > 0).sort(([a], [b]) => a - b);
    expect(sorted.length).toBeGreaterThan(1);
    const total = sorted.reduce((sum, [start, end]) => sum + end - start, 0);
    expect(total).toBe(segment.object.size - sorted[0]![0]);
    expect(total).toBeGreaterThan(128 * 1024);
  });

  it('gives nothing for no frames', async () => {
    expect(await collect(framesSource(await open(1), []))).toHaveLength(0);
  });

  it.each([0, 1])('finds and names a changed byte: segment %s', async (index) => {
    const { object } = segments[index]!;
    const bytes = Buffer.from(archive.store.objects.get(object.readKey)!);
    const at = object.readStart + object.size - 10;
    bytes.writeUInt8(bytes[at]! ^ 1, at);
    archive.store.tamper(object.readKey, bytes);
    await expect(open(index)).rejects.toMatchObject({
      ...{ exitCode: 14, context: { object: object.readKey } },
    });
  });
});
