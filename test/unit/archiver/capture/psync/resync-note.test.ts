import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ResyncNoteFile,
  withSync,
  type ResyncNote,
} from '../../../../../services/archiver/src/capture/psync/resync-note.ts';
import { TempDir } from '../../../../support/temp-dir.ts';

const NOTHING = { runId: null, resync: null, syncsMs: [] };
const NOTE: ResyncNote = {
  runId: 'r1',
  resync: { ino: '12', reason: 'backlog-overrun', detail: 'between 1 and 2' },
  syncsMs: [1_000, 2_000],
};

let temp: TempDir;
let path: string;
beforeEach(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'orders.wire.resync');
});
afterEach(() => temp[Symbol.asyncDispose]());

describe('ResyncNoteFile', () => {
  it('reads what was written last', async () => {
    const file = new ResyncNoteFile(path);
    expect(await file.read()).toEqual(NOTHING);
    await file.write({ ...NOTE, runId: null });
    await file.write(NOTE);
    expect(await new ResyncNoteFile(path).read()).toEqual(NOTE);
  });

  it.each([
    ['no JSON', '{'],
    ['something else', '[1]'],
    ['too much', JSON.stringify({ ...NOTE, more: 'x'.repeat(10_000) })],
  ])('knows nothing from %s', async (_, text) => {
    await writeFile(path, text);
    expect(await new ResyncNoteFile(path).read()).toEqual(NOTHING);
  });

  it('takes no reason that is not on the list', async () => {
    await writeFile(path, JSON.stringify({ ...NOTE, resync: { ...NOTE.resync, reason: 'why' } }));
    expect(await new ResyncNoteFile(path).read()).toEqual({ ...NOTE, resync: null });
  });

  it('keeps the newest times of full resyncs, and none that is no time', async () => {
    let note = NOTE;
    for (let at = 0; at < 40; at++) note = { ...note, syncsMs: withSync(note, at + 0.5) };
    await new ResyncNoteFile(path).write(note);
    const { syncsMs } = await new ResyncNoteFile(path).read();
    expect(syncsMs).toEqual(Array.from({ length: 16 }, (_, index) => 24 + index));
    await writeFile(path, JSON.stringify({ ...NOTE, syncsMs: ['1', null, 7] }));
    expect((await new ResyncNoteFile(path).read()).syncsMs).toEqual([7]);
  });

  it('is no reason to stop when it cannot be written', async () => {
    const file = new ResyncNoteFile(join(temp.path, 'missing', 'note'));
    await file.write(NOTE);
    expect(await file.read()).toEqual(NOTHING);
  });
});
