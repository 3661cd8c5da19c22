import { COMMANDS } from '@tidemark/aof';
import { packSnapshot, unpackSnapshot, type SegmentFrame } from '@tidemark/archive';
import { type RdbSummary } from '@tidemark/rdb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { command, decodeChunks, split, type DecodedCommand } from '../support/command-log.ts';
import {
  buildSegments,
  chunked,
  collect,
  commandsOf,
  footerOf,
  type TestSegment,
} from '../support/segments.ts';

const key = fc.oneof(
  fc.constantFrom('a', 'ab', 'user:1', 'user:10', 'user:100', '\0', '\xff\0'),
  fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 12 }),
);
const value = fc.string({ unit: 'binary-ascii', maxLength: 60 });
const oneCommand = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom('SET', 'set', 'APPEND', 'LPUSH'), key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('DEL', 'INCR'), key) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('RENAME', 'COPY', 'DEL'), key, key) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('SELECT'), fc.constantFrom('0', '1', '15')) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('MULTI', 'EXEC', 'FLUSHDB', 'PING', 'NEW')) },
);
const logs = fc
  .array(oneCommand, { minLength: 1, maxLength: 40 })
  .map((list) => Buffer.concat(list.map((args) => command(...args))));
const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 12 });

/** Single-key commands of the logs above: their key stands at 1. */
const SINGLE = new Set(['set', 'append', 'lpush', 'incr']);

function keysOf({ name, args }: DecodedCommand): string[] {
  if (SINGLE.has(name)) return [args[1]!];
  if (name === 'del' || name === 'rename' || name === 'copy') {
    return args.slice(1).map((arg) => arg!);
  }
  return [];
}

/** What a frame list and a key index should say, from the decoded commands. */
function expected(
  commands: readonly DecodedCommand[],
  segment: TestSegment,
  frameBytes: number,
): { keys: Map<string, number[]>; commands: DecodedCommand[] } {
  const { start, end } = segment.header;
  const mine = commands.filter((one) => one.end > start && one.end <= end);
  const keys = new Map<string, Set<number>>();
  for (const one of mine) {
    const first = Math.max(0, Math.floor(Number(one.start - start) / frameBytes));
    const last = Math.floor((Number(one.end - start) - 1) / frameBytes);
    for (const name of keysOf(one)) {
      const frames = keys.get(`${one.db}/${name}`) ?? new Set();
      for (let frame = first; frame <= last; frame++) frames.add(frame);
      keys.set(`${one.db}/${name}`, frames);
    }
  }
  return {
    keys: new Map([...keys].map(([name, frames]) => [name, [...frames].sort((a, b) => a - b)])),
    commands: mine,
  };
}

function stateAt(commands: readonly DecodedCommand[], offset: bigint): Partial<SegmentFrame> {
  const before = commands.filter((one) => one.end <= offset).at(-1);
  return {
    db: before?.db ?? 0,
    inMulti: before !== undefined && before.inMulti && before.name !== 'exec',
    partialBytes: Number(offset - (before?.end ?? 0n)),
  };
}

describe('segments of a log that was cut anywhere', () => {
  it('give back the log, its state at every frame, its keys, flow and counts', async () => {
    await fc.assert(
      fc.asyncProperty(
        logs,
        cuts,
        fc.integer({ min: 1, max: 300 }),
        fc.nat(3),
        async (log, sizes, frameBytes, group) => {
          const chunks = split(log, ...sizes);
          const groups: Buffer[][] = [];
          for (const [i, chunk] of chunks.entries()) {
            if (i % (group + 1) === 0) groups.push([]);
            groups.at(-1)!.push(chunk);
          }
          const { commands } = decodeChunks([log]);
          const segments = buildSegments(groups, { frameBytes, exact: true });
          let at = 0n;
          for (const segment of segments) {
            const { header } = segment;
            expect(header.start).toBe(at);
            at = header.end;
            expect(header).toMatchObject(stateAt(commands, header.start));
            const raw = await commandsOf(segment);
            expect(raw.equals(log.subarray(Number(header.start), Number(header.end)))).toBe(true);
            const footer = await footerOf(segment.payload);
            expect(footer.header).toEqual(header);
            for (const frame of await footer.frames()) {
              expect(frame).toMatchObject(stateAt(commands, frame.start));
            }
            const model = expected(commands, segment, frameBytes);
            const keys = new Map<string, number[]>();
            (await footer.keys()).forEach((db, name, frames) => {
              keys.set(`${db}/${name.toString('latin1')}`, [...frames]);
            });
            expect(keys).toEqual(model.keys);
            const listed = model.commands.filter(
              (one) => keysOf(one).length > 1 || /^(flushdb|)$/.test(one.name),
            );
            const flow = await footer.flow();
            expect(flow.entries.map((one) => one.offset)).toEqual(listed.map((one) => one.start));
            const counted = Object.values(await footer.stats()).reduce((a, b) => a + b, 0);
            expect(counted).toBe(model.commands.length);
            expect(header.commands).toBe(model.commands.length);
          }
          expect(at).toBe(BigInt(log.length));
        },
      ),
      { numRuns: 120 },
    );
  });

  it('never deny a key, whatever kind of index they have', async () => {
    await fc.assert(
      fc.asyncProperty(logs, fc.integer({ min: 1, max: 300 }), async (log, frameBytes) => {
        const [segment] = buildSegments([[log]], { frameBytes });
        const index = await (await footerOf(segment!.payload)).keys();
        for (const [name, frames] of expected(decodeChunks([log]).commands, segment!, frameBytes)
          .keys) {
          const slash = name.indexOf('/');
          const bytes = Buffer.from(name.slice(slash + 1), 'latin1');
          const db = Number(name.slice(0, slash));
          expect(index.mayContain(db, bytes)).toBe(true);
          expect([null, frames]).toContainEqual(index.framesOf(db, bytes));
        }
      }),
      { numRuns: 80 },
    );
  });

  it('give any range of offsets', async () => {
    await fc.assert(
      fc.asyncProperty(
        logs,
        fc.integer({ min: 1, max: 300 }),
        fc.nat(),
        fc.nat(),
        async (log, frameBytes, a, b) => {
          const [segment] = buildSegments([[log]], { frameBytes });
          const [from, to] = [a % (log.length + 1), b % (log.length + 1)].sort((x, y) => x - y) as [
            number,
            number,
          ];
          const range = { from: BigInt(from), to: BigInt(to) };
          expect(await commandsOf(segment!, range)).toEqual(log.subarray(from, to));
        },
      ),
      { numRuns: 80 },
    );
  });

  it('never hang, crash or give other bytes when a byte is changed or the end is missing', async () => {
    const log = Buffer.concat(
      Array.from({ length: 40 }, (_, i) => command('SET', `key:${i}`, `value-${i * 31}`)),
    );
    const [segment] = buildSegments([[log]], { frameBytes: 256, exact: true });
    const { payload, header } = segment!;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(payload.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const damaged = Buffer.from(payload);
          damaged[at] = (damaged[at] ?? 0) ^ flip;
          const other = { ...segment!, payload: damaged };
          for (const read of [
            async (): Promise<unknown> => commandsOf(other),
            async (): Promise<unknown> => {
              const footer = await footerOf(damaged);
              (await footer.keys()).forEach(() => undefined);
              return [
                await footer.frames(),
                await footer.flow(),
                await footer.marks(),
                await footer.stats(),
              ];
            },
          ]) {
            const outcome = await read().catch((error: unknown) => error);
            if (!(outcome instanceof Error)) continue;
            expect(outcome).toMatchObject({ code: 'TM_SEGMENT_FORMAT' });
          }
          const cut = { ...segment!, payload: payload.subarray(0, at) };
          const outcome = await commandsOf(cut).catch((error: unknown) => error);
          if (Buffer.isBuffer(outcome)) expect(outcome.length).toBe(header.rawBytes);
          else expect(outcome).toMatchObject({ code: 'TM_SEGMENT_FORMAT' });
        },
      ),
      { numRuns: 400 },
    );
  });

  it('know every command that the log above uses', () => {
    const names = new Set(COMMANDS.map((spec) => spec.name));
    for (const name of [...SINGLE, 'del', 'rename', 'copy', 'flushdb'])
      expect(names).toContain(name);
  });
});

describe('snapshots', () => {
  it('give back any bytes for any chunks and frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 3_000 }),
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 700 }),
        async (bytes, frameBytes, chunkIn, chunkOut) => {
          const rdb = Buffer.from(bytes);
          const summary = {
            product: 'redis',
            version: 11,
            bytes: rdb.length,
            keys: 0,
            aux: {},
            types: {},
          };
          const packed = await collect(
            packSnapshot(chunked(rdb, chunkIn), {
              timeline: 't',
              offset: 5n,
              summary: () => summary as RdbSummary,
              frameBytes,
            }),
          );
          expect((await collect(unpackSnapshot(chunked(packed, chunkOut)))).equals(rdb)).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});
