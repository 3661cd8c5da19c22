import { readFileSync } from 'node:fs';
import {
  decodeCheckpoint,
  decodeLogEntry,
  EMPTY_WRITER_STATE,
  evolve,
  type WriterState,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { LOG, LOG_KEY } from '../../support/log-events.ts';
import { makeLogVectors, VECTOR_EVENTS, type LogVector } from '../../support/log-vectors.ts';

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
    expect(decodeCheckpoint(checkpoint, expected)).toEqual(state);
    expect(vectors).toHaveLength(VECTOR_EVENTS.length + 1);
  });

  it('is written byte by byte as it was', () => {
    expect(makeLogVectors()).toEqual(vectors);
  });
});
