import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resumableTimeline } from '../../../../services/archiver/src/capture/open-timeline.ts';
import {
  TimelineNoteFile,
  type TimelineNote,
} from '../../../../services/archiver/src/capture/timeline-note.ts';
import { EMPTY_WRITER_STATE, evolve, type WriterEvent, type WriterState } from '@tidemark/catalog';
import { claimed, opened, snapshot, stored } from '../../../support/log-events.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const START = {
  ...{ file: 'appendonly.aof.1.incr.aof', seq: 1, dev: '66', ino: '1001', position: 0 },
  ...{ digest: 'e3'.repeat(32), digestBytes: 0 },
};
const NOTE: TimelineNote = { timeline: 't1', start: START, servesFrom: 7 };

describe('TimelineNoteFile', () => {
  it('gives back what was written last', async () => {
    await using temp = await TempDir.create();
    const file = new TimelineNoteFile(join(temp.path, 'note'));
    expect(await file.read()).toBeNull();
    await file.write(NOTE);
    await file.write({ ...NOTE, servesFrom: null });
    expect(await file.read()).toEqual({ ...NOTE, servesFrom: null });
  });

  it.each([
    ['torn', '{"timeline":"t1"'],
    ['something else', '[1]'],
    ['null', 'null'],
    ['without a place', '{"timeline":"t1","servesFrom":null}'],
    ['with a wrong place', JSON.stringify({ ...NOTE, start: { ...START, position: '0' } })],
    ['with a wrong second', JSON.stringify({ ...NOTE, servesFrom: 0.5 })],
    ['too long', JSON.stringify({ ...NOTE, more: 'x'.repeat(10_000) })],
  ])('is none when it is %s', async (_, text) => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'note');
    await writeFile(path, text);
    expect(await new TimelineNoteFile(path).read()).toBeNull();
  });
});

describe('resumableTimeline() with a note', () => {
  const after = (...events: readonly WriterEvent[]): WriterState =>
    [claimed(), ...events].reduce(
      (state, event, at) => evolve(state, event, at, at.toString(16).padStart(64, '0')),
      EMPTY_WRITER_STATE,
    );
  const later = { ...START, position: 900, digestBytes: 900 };

  it('goes on where a timeline without a segment begins', () => {
    const state = after(opened(), snapshot(0n));
    expect(resumableTimeline(state, NOTE)).toMatchObject({ cursor: START, atFirstFile: false });
    expect(resumableTimeline(state, { ...NOTE, timeline: 't0' })).toBeNull();
  });

  it('goes on without a snapshot only within the first file', () => {
    expect(resumableTimeline(after(opened()), NOTE)).toMatchObject({ atFirstFile: true });
    const within = after(opened(), stored(0n, 10n, { cursor: later }));
    expect(resumableTimeline(within, NOTE)).toMatchObject({ cursor: later, atFirstFile: true });
    for (const other of [{ seq: 2 }, { ino: '1002' }, { dev: '67' }]) {
      const beyond = after(opened(), stored(0n, 10n, { cursor: { ...later, ...other } }));
      expect(resumableTimeline(beyond, NOTE)).toBeNull();
    }
    // The dataset at its start is the head of the file itself: it is not offered twice.
    const inFile = { ...NOTE, start: { ...START, position: 300 } };
    expect(resumableTimeline(after(opened()), inFile)).toBeNull();
  });
});
