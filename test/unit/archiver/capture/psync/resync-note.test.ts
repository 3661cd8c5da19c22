import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ResyncNoteFile,
  type ResyncNote,
} from '../../../../../services/archiver/src/capture/psync/resync-note.ts';
import { TempDir } from '../../../../support/temp-dir.ts';

const NOTHING = { runId: null, resync: null };
const NOTE: ResyncNote = {
  runId: 'r1',
  resync: { ino: '12', reason: 'backlog-overrun', detail: 'between 1 and 2' },
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
    expect(await new ResyncNoteFile(path).read()).toEqual({ runId: 'r1', resync: null });
  });

  it('is no reason to stop when it cannot be written', async () => {
    const file = new ResyncNoteFile(join(temp.path, 'missing', 'note'));
    await file.write(NOTE);
    expect(await file.read()).toEqual(NOTHING);
  });
});
