import {
  encodeCheckpoint,
  encodeLogEntry,
  evolve,
  EMPTY_WRITER_STATE,
  type WriterEvent,
} from '@tidemark/catalog';
import {
  claimed,
  closed,
  heartbeat,
  LOG,
  LOG_KEY,
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

/** The log as bytes, and the checkpoint behind it. */
export function makeLogVectors(): readonly LogVector[] {
  const vectors: LogVector[] = [];
  let state = EMPTY_WRITER_STATE;
  for (const [event, body] of VECTOR_EVENTS) {
    const seq = state.seq + 1;
    const content = { log: LOG, seq, generation: 1, event, predecessor: state.digest };
    const { bytes, entry } = encodeLogEntry({ ...content, logKey: LOG_KEY, body });
    vectors.push({ name: `entry ${seq} ${event.type}`, hex: bytes.toString('hex') });
    state = evolve(state, event, seq, entry.digest);
  }
  const checkpoint = encodeCheckpoint(LOG, state, LOG_KEY).toString('hex');
  return [...vectors, { name: `checkpoint ${state.seq}`, hex: checkpoint }];
}
