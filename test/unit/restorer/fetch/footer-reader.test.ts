import { framesOfRange } from '@tidemark/archive';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  framesSource,
  openFooter,
  type FooterReaderOptions,
  type OpenedSegment,
} from '../../../../services/restorer/src/fetch/footer-reader.ts';
import { objectOfSegment } from '../../../../services/restorer/src/plan/read-marks.ts';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import type { MemoryStore } from '../../../support/memory-store.ts';
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
  const { reader, keys } = await preparePlan(request, { ...environment, store });
  const keyOf = (id: string): Promise<ReturnType<typeof keys.of>> => Promise.resolve(keys.of(id));
  options = { reader, keyOf, bytesRead: { bytes: 0 } };
  segments.splice(0, Infinity, ...environment.catalog.segments('t1'));
  store.calls.length = 0;
});
afterEach(async () => archive[Symbol.asyncDispose]());

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
