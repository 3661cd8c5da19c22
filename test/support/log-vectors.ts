import {
  encodeCheckpoint,
  encodeLogEntry,
  evolve,
  EMPTY_WRITER_STATE,
  keepRows,
  NO_ROWS,
  type KeptRows,
  type WriterEvent,
  type WriterState,
} from '@tidemark/catalog';
import {
  claimed,
  closed,
  heartbeat,
  LOG,
  LOG_KEY,
  merged,
  nodeFacts,
  objectRef,
  opened,
  proven,
  released,
  snapshot,
  stepped,
  stored,
} from './log-events.ts';

/** A record as bytes, for the fixture that keeps version 1 readable. */
export interface LogVector {
  readonly name: string;
  readonly hex: string;
}

const BODY = Buffer.from('a sealed container, as far as the log knows');

/** A log with every kind of event. */
export const VECTOR_EVENTS: readonly (readonly [WriterEvent, Buffer?])[] = [
  [claimed()],
  [nodeFacts()],
  [opened()],
  [snapshot(0n)],
  [
    stored(0n, 2n ** 52n, {
      object: objectRef({ key: null, size: BODY.length }),
      segment: { firstSecond: 1_795_000_000, lastSecond: 1_795_000_002 },
    }),
    BODY,
  ],
  [heartbeat(7n, { provenTo: 1_795_000_002 })],
  [stepped(2n ** 52n, { before: 2n ** 52n - 9n, provenTo: 1_795_000_003 })],
  [stepped(2n ** 52n, { direction: 'forward' })],
  [closed(2n ** 52n, { detail: 'ключ — "quoted" \u2028' })],
  [opened({ timeline: 't2', previous: 't1', reason: 'capture-down' })],
  [proven()],
  [released()],
];

/** A log with merged segments, older timelines, and everything else that a checkpoint keeps. */
export const LEVEL_EVENTS: readonly (readonly [WriterEvent, Buffer?])[] = [
  [claimed()],
  [nodeFacts()],
  [opened()],
  [closed(0n, { reason: 'detached' })],
  [opened({ timeline: 't2', previous: 't1', reason: 'detached' })],
  [proven()],
  [snapshot(0n, { timeline: 't2' })],
  [
    stored(0n, 20n, {
      segment: { timeline: 't2', firstSecond: 1_795_000_000, lastSecond: 1_795_000_000 },
    }),
  ],
  [stored(20n, 30n, { segment: { timeline: 't2' }, atMs: 1_795_000_004_000 })],
  [stored(30n, 35n, { segment: { timeline: 't2' } })],
  [
    merged(0n, 30n, {
      object: objectRef({ key: null, size: BODY.length, kind: 3 }),
      segment: { timeline: 't2', firstSecond: 1_795_000_000, lastSecond: 1_795_000_000 },
    }),
    BODY,
  ],
];

/** The entries of the first log as bytes. */
export function makeLogVectors(): readonly LogVector[] {
  return vectorsOf(VECTOR_EVENTS).vectors;
}

/** The log with merged segments as bytes, and the checkpoint behind it. */
export function makeLevelVectors(): readonly LogVector[] {
  const { vectors, state, rows } = vectorsOf(LEVEL_EVENTS);
  const checkpoint = encodeCheckpoint(LOG, { state, rows }, LOG_KEY).toString('hex');
  return [...vectors, { name: `checkpoint ${state.seq}`, hex: checkpoint }];
}

function vectorsOf(events: typeof VECTOR_EVENTS): {
  readonly vectors: readonly LogVector[];
  readonly state: WriterState;
  readonly rows: KeptRows;
} {
  const vectors: LogVector[] = [];
  let state = EMPTY_WRITER_STATE;
  let rows = NO_ROWS;
  for (const [event, body] of events) {
    const seq = state.seq + 1;
    const content = { log: LOG, seq, generation: 1, event, predecessor: state.digest };
    const { bytes, entry } = encodeLogEntry({ ...content, logKey: LOG_KEY, body });
    vectors.push({ name: `entry ${seq} ${event.type}`, hex: bytes.toString('hex') });
    const before = state;
    state = evolve(before, event, seq, entry.digest);
    rows = keepRows(rows, before, state, entry);
  }
  return { vectors, state, rows };
}
