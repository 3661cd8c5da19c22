import { readFileSync } from 'node:fs';
import {
  decodeCheckpoint,
  decodeLogEntry,
  EMPTY_WRITER_STATE,
  evolve,
  keepRows,
  NO_ROWS,
  type WriterState,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { LOG, LOG_KEY } from '../../support/log-events.ts';
import {
  LEVEL_EVENTS,
  makeLevelVectors,
  makeLogVectors,
  VECTOR_EVENTS,
  type LogVector,
} from '../../support/log-vectors.ts';

const fixture = new URL('../../fixtures/catalog/log-v1.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(fixture, 'utf8')) as { vectors: LogVector[] };

describe('a writer log of version 1', () => {
  it('is read: every entry, its chain and the checkpoint behind it', () => {
    let state: WriterState = EMPTY_WRITER_STATE;
    for (const [seq, [event]] of VECTOR_EVENTS.entries()) {
      const entry = decodeLogEntry(Buffer.from(vectors[seq]?.hex ?? '', 'hex'), {
        log: LOG,
        seq,
        predecessor: state.digest,
        logKey: LOG_KEY,
        keyProven: false,
        whole: true,
      });
      expect(entry.event).toEqual(event);
      state = evolve(state, entry.event, seq, entry.digest);
    }
    const checkpoint = Buffer.from(vectors.at(-1)?.hex ?? '', 'hex');
    const expected = { log: LOG, seq: state.seq, logKey: LOG_KEY, keyProven: true };
    // It kept no rows: they are to be read in the entries up to it.
    const rows = { ...NO_ROWS, base: state.seq };
    expect(decodeCheckpoint(checkpoint, expected)).toEqual({ state, rows });
    expect(vectors).toHaveLength(VECTOR_EVENTS.length + 1);
  });

  it('is written byte by byte as it was', () => {
    expect(makeLogVectors()).toEqual(vectors.slice(0, -1));
  });
});

const levels = new URL('../../fixtures/catalog/levels-v1.json', import.meta.url);

describe('a writer log with merged segments, of version 1', () => {
  const known = (JSON.parse(readFileSync(levels, 'utf8')) as { vectors: LogVector[] }).vectors;

  it('is read: every entry, and the checkpoint with the rows that it kept', () => {
    let state: WriterState = EMPTY_WRITER_STATE;
    let rows = NO_ROWS;
    for (const [seq, [event]] of LEVEL_EVENTS.entries()) {
      const bytes = Buffer.from(known[seq]?.hex ?? '', 'hex');
      const expected = { log: LOG, seq, predecessor: state.digest, logKey: LOG_KEY };
      const entry = decodeLogEntry(bytes, { ...expected, keyProven: false, whole: true });
      expect(entry.event).toEqual(event);
      const before = state;
      state = evolve(before, entry.event, seq, entry.digest);
      rows = keepRows(rows, before, state, entry);
    }
    const checkpoint = Buffer.from(known.at(-1)?.hex ?? '', 'hex');
    const expected = { log: LOG, seq: state.seq, logKey: LOG_KEY, keyProven: true };
    expect(decodeCheckpoint(checkpoint, expected)).toEqual({ state, rows });
    expect(rows.segments.map(({ header }) => [header.start, header.level])).toEqual([
      [0n, 1],
      [30n, undefined],
    ]);
  });

  it('is written byte by byte as it was', () => {
    expect(makeLevelVectors()).toEqual(known);
  });
});
