import {
  decodeCheckpoint,
  EMPTY_WRITER_STATE,
  encodeCheckpoint,
  evolve,
  keepRows,
  NO_ROWS,
  type KeptRows,
  type WriterEvent,
  type WriterLogId,
  type WriterState,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { buildRecord, MAGIC } from '../../support/log-builder.ts';
import {
  claimed,
  closed,
  LOG,
  LOG_KEY,
  opened,
  OTHER_LOG_KEY,
  snapshot,
  stored,
} from '../../support/log-events.ts';

const events: readonly WriterEvent[] = [
  claimed(),
  opened(),
  stored(0n, 40n, {
    cursor: {
      file: 'a.aof',
      seq: 1,
      dev: '1',
      ino: '2',
      position: 40,
      digest: 'aa'.repeat(32),
      digestBytes: 40,
    },
  }),
  snapshot(40n),
  closed(40n),
];
let state: WriterState = EMPTY_WRITER_STATE;
let rows: KeptRows = NO_ROWS;
for (const [seq, event] of events.entries()) {
  const before = state;
  const digest = seq.toString().padStart(64, '0');
  state = evolve(before, event, seq, digest);
  const entry = { seq, generation: 1, event, digest, predecessor: before.digest };
  rows = keepRows(rows, before, state, { ...entry, bodyOffset: 400, bodySize: 0 });
}
const bytes = encodeCheckpoint(LOG, { state, rows }, LOG_KEY);
const log: WriterLogId = LOG;
const expected = { log, seq: 4, logKey: LOG_KEY, keyProven: true };

function refusal(data: Uint8Array, over: Partial<typeof expected> = {}): TidemarkError {
  try {
    decodeCheckpoint(data, { ...expected, ...over });
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a checkpoint', () => {
  it('gives back the fold, and its chain digest stands where an entry names its predecessor', () => {
    expect(decodeCheckpoint(bytes, expected)).toEqual({ state, rows });
    expect(bytes.toString('hex', 16, 48)).toBe(state.digest);
    expect(encodeCheckpoint(LOG, { state, rows }, LOG_KEY)).toEqual(bytes);
  });

  it('follows the table in docs/formats/checkpoint.md', () => {
    const header = bytes.subarray(64, 64 + bytes.readUInt32BE(12));
    const built = buildRecord({ magic: MAGIC.checkpoint, header, predecessor: state.digest });
    expect(bytes.toString('hex')).toBe(built.toString('hex'));
  });

  it('is refused after every truncation, every flipped bit and any trailing byte', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(bytes.subarray(0, length)).code).toBe('TM_LOG_FORMAT');
    }
    for (let at = 0; at < bytes.length * 8; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at >> 3] = (flipped[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect(refusal(flipped).exitCode).toBe(14);
    }
    expect(refusal(Buffer.concat([bytes, Buffer.alloc(1)])).code).toBe('TM_LOG_FORMAT');
  });

  it('is refused in another place', () => {
    expect(refusal(bytes, { seq: 1024 }).code).toBe('TM_LOG_CHAIN');
    expect(refusal(bytes, { log: { ...LOG, writer: 'w2' } }).code).toBe('TM_LOG_CHAIN');
    expect(refusal(bytes, { log: { ...LOG, iid: 'other' } }).code).toBe('TM_LOG_CHAIN');
    const header = bytes.subarray(64, 64 + bytes.readUInt32BE(12));
    const moved = buildRecord({ magic: MAGIC.checkpoint, header });
    expect(refusal(moved).code).toBe('TM_LOG_CHAIN');
  });

  it('tells a wrong key ring from damage', () => {
    const other = { logKey: OTHER_LOG_KEY };
    expect(refusal(bytes, { ...other, keyProven: false }).code).toBe('TM_KEY_MISSING');
    expect(refusal(bytes, other).code).toBe('TM_LOG_AUTH');
  });
});
