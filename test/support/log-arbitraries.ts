import { HOLE_REASONS } from '@tidemark/archive';
import type { ObjectRef, WriterEvent } from '@tidemark/catalog';
import fc from 'fast-check';
import { SUMMARY } from './log-events.ts';

const idOf = (chars: string): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.constantFrom(...Array.from(chars)),
    minLength: 1,
    maxLength: 63,
  });
const hex = (length: number): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.constantFrom(...Array.from('0123456789abcdef')),
    minLength: length,
    maxLength: length,
  });

const id = idOf('abz019');
const ms = fc.maxSafeInteger();
const second = fc.option(fc.maxSafeInteger(), { nil: null });
const count = fc.maxSafeNat();
const offset = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const line = fc
  .string({ unit: 'grapheme', maxLength: 40 })
  .filter((text) => /^[^\p{Cc}\p{Surrogate}]*$/u.test(text));
const reason = fc.constantFrom(...HOLE_REASONS);
const stream = fc.record({
  db: fc.nat({ max: 15 }),
  inMulti: fc.boolean(),
  partialBytes: count,
});
const object: fc.Arbitrary<ObjectRef> = fc.record({
  key: id.map((name) => `v1/instance/i/s/w/seg/${name}`),
  size: count,
  digest: hex(64),
  dekId: hex(32),
  kind: fc.integer({ min: 1, max: 10 }),
});

const header = {
  timeline: id,
  start: offset,
  end: offset,
  db: fc.nat({ max: 15 }),
  maxDb: fc.nat({ max: 15 }),
  inMulti: fc.boolean(),
  partialBytes: count,
  commands: count,
  rawBytes: count,
  firstSecond: second,
  lastSecond: second,
  frames: count,
  indexKind: fc.constantFrom('keys' as const, 'filter' as const, 'none' as const),
};

/** Any writer event that can stand in a header, whatever came before it. */
export const anyWriterEvent: fc.Arbitrary<WriterEvent> = fc.oneof(
  fc.record({
    type: fc.constant('OwnerClaimed' as const),
    generation: fc.integer({ min: 1 }),
    ownerId: id,
    atMs: ms,
    tookOver: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('TimelineOpened' as const),
    timeline: id,
    source: fc.constantFrom('aof' as const, 'psync' as const),
    reason: fc.oneof(reason, fc.constant('attach' as const)),
    previous: fc.option(id, { nil: null }),
    atMs: ms,
    node: fc.record({ runId: line, version: line, product: line }),
  }),
  fc.record({
    type: fc.constant('SegmentStored' as const),
    segment: fc.record(header),
    after: stream,
    object,
    provenTo: second,
    cursor: fc.option(
      fc.record({
        file: line,
        seq: count,
        dev: fc.nat().map(String),
        ino: fc.nat().map(String),
        position: count,
        digest: hex(64),
        digestBytes: fc.nat({ max: 4096 }),
      }),
      { nil: null },
    ),
    atMs: ms,
  }),
  fc.record({
    type: fc.constant('SegmentsMerged' as const),
    segment: fc.record({ ...header, level: fc.integer({ min: 1, max: 255 }) }),
    stretch: count,
    count: fc.integer({ min: 1 }),
    captured: fc.record({ first: count, last: count }),
    object,
    provenTo: second,
    throughMs: ms,
    atMs: ms,
  }),
  fc.record({
    type: fc.constant('SnapshotStored' as const),
    backup: id,
    timeline: id,
    offset,
    from: fc.maxSafeInteger(),
    mode: fc.constantFrom('attach' as const, 'automated' as const, 'manual' as const),
    startedMs: ms,
    endedMs: ms,
    summary: fc.constant(SUMMARY),
    rdbBytes: count,
    object,
  }),
  fc.record({
    type: fc.constant('Heartbeat' as const),
    timeline: fc.option(id, { nil: null }),
    offset,
    provenTo: second,
    atMs: ms,
  }),
  fc.record({
    type: fc.constant('TimelineClosed' as const),
    timeline: id,
    offset,
    reason,
    provenTo: second,
    detail: line,
    atMs: ms,
  }),
  fc.record({
    type: fc.constant('ClockStepped' as const),
    timeline: id,
    direction: fc.constantFrom('back' as const, 'forward' as const),
    before: offset,
    offset,
    untilMs: ms,
    fromMs: ms,
    toMs: ms,
    sinceMs: ms,
    provenTo: second,
    atMs: ms,
  }),
  fc.record({ type: fc.constant('NodeFactsStored' as const), object, atMs: ms }),
  fc.record({ type: fc.constant('HoleProven' as const), closed: id, opened: id, atMs: ms }),
  fc.record({
    type: fc.constant('Released' as const),
    generation: fc.integer({ min: 1 }),
    atMs: ms,
  }),
);

/** One step of a history that obeys the rules; what it becomes depends on the state before it. */
export interface HistoryStep {
  readonly kind: 'segment' | 'snapshot' | 'heartbeat' | 'step' | 'turn' | 'facts' | 'claim';
  readonly bytes: number;
  readonly seconds: number;
  readonly flag: boolean;
}

/** Steps of a history. */
export const historySteps: fc.Arbitrary<HistoryStep[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(
      'segment' as const,
      'segment' as const,
      'snapshot' as const,
      'heartbeat' as const,
      'step' as const,
      'turn' as const,
      'facts' as const,
      'claim' as const,
    ),
    bytes: fc.integer({ min: 1, max: 1000 }),
    seconds: fc.integer({ min: -1, max: 3 }),
    flag: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);
