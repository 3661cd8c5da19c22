import { packSnapshot } from '@tidemark/archive';
import { type RdbSummary } from '@tidemark/rdb';
import { log } from './command-log.ts';
import { buildSegments, chunked, collect, type TestSegment } from './segments.ts';

/**
 * What the golden objects of test/fixtures/archive were made from. The objects themselves are never
 * made again: a new format version gets files of its own beside them.
 */
export const GOLDEN_START = 5_000_000_000n;

/** Lines of the golden log; the segment begins within the second command. */
export const GOLDEN_LINES: readonly string[] = [
  'SELECT 3',
  'SET before begun',
  'MULTI',
  'SET user:1 alpha',
  'SET user:2 beta',
  'EXEC',
  'RENAME user:1 user:3',
  'SELECT 300',
  'COPY user:2 user:4 DB 5',
  'SWAPDB 3 300',
  'NEWCOMMAND x y',
  'DEL user:3',
  'FLUSHDB',
];

export const GOLDEN_LOG: Buffer = log(...GOLDEN_LINES);

/** Where the golden segment begins and ends in the log. */
export const GOLDEN_FROM: number = log('SELECT 3').length + 10;
export const GOLDEN_TO: number = GOLDEN_LOG.length - 4;

/** Keys of the golden filter segment: too many beside so little data for a list. */
export const GOLDEN_KEYS: readonly string[] = Array.from(
  { length: 64 },
  (_, i) => `${((i * 48_271 * 7_919) % 0x7fff_ffff).toString(36)}-${i}`,
);

export const GOLDEN_SUMMARY: RdbSummary = {
  product: 'valkey',
  version: 80,
  bytes: 2_500,
  keys: 2,
  expires: 1,
  maxDb: 0,
  databases: [{ db: 0, keys: 2, expires: 1 }],
  types: { '0': 2 },
  minVersion: 9,
  functions: 0,
  modules: [],
  aux: { 'valkey-ver': '9.1.2' },
  fieldTtl: false,
  keyMeta: 0,
  largestEntryBytes: 20,
  checksum: 'verified',
};

/** Stands for an RDB; its content does not matter to the snapshot object. */
export const GOLDEN_RDB: Buffer = Buffer.from(
  Array.from({ length: 2_500 }, (_, i) => (i * i + (i >> 3)) & 0xff),
);

/** Makes the golden objects of the current format version, by file name. */
export async function makeGolden(): Promise<Record<string, Buffer>> {
  const cut = (from: number, to: number): Buffer[] => [GOLDEN_LOG.subarray(from, to)];
  const groups = [cut(0, GOLDEN_FROM), cut(GOLDEN_FROM, GOLDEN_TO)];
  const segments = buildSegments(groups, {
    timeline: 'tl_golden',
    offset: GOLDEN_START,
    frameBytes: 100,
    exact: true,
    marks: [
      {
        offset: GOLDEN_START + 60n,
        notBeforeMs: 1_750_000_000_000,
        notAfterMs: 1_749_999_999_999,
        source: 'annotation',
      },
      {
        offset: GOLDEN_START + 90n,
        notBeforeMs: 1_750_000_000_437,
        notAfterMs: null,
        source: 'sample',
      },
    ],
  });
  const filterLog = log(...GOLDEN_KEYS.map((key) => `SET ${key} 1`));
  const [filter] = buildSegments([[filterLog]], { timeline: 'tl_golden' });
  const snapshot = packSnapshot(chunked(GOLDEN_RDB, 700), {
    timeline: 'tl_golden',
    offset: GOLDEN_START,
    summary: () => GOLDEN_SUMMARY,
    frameBytes: 1_024,
  });
  const payloadOf = (segment: TestSegment | undefined): Buffer =>
    segment?.payload ?? Buffer.alloc(0);
  return {
    'segment-v1-keys.bin': payloadOf(segments[1]),
    'segment-v1-filter.bin': payloadOf(filter),
    'snapshot-v1.bin': await collect(snapshot),
  };
}
