import { join } from 'node:path';
import { fixedLocator } from '@tidemark/client';
import { systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReceiveLine } from '../../../../../services/archiver/src/capture/psync/receive-line.ts';
import { ResyncNoteFile } from '../../../../../services/archiver/src/capture/psync/resync-note.ts';
import type { WireSpool } from '../../../../../services/archiver/src/wire/wire-spool.ts';
import { steppingClock } from '../../../../support/stepping-clock.ts';
import { TempDir } from '../../../../support/temp-dir.ts';
import { openWire, REPLID_A, REPLID_B, syncWire } from '../../../../support/wire-spool.ts';

let temp: TempDir;
let spool: WireSpool;
let line: ReceiveLine;
beforeEach(async () => {
  temp = await TempDir.create();
  spool = await openWire(join(temp.path, 'wire'));
  const note = new ResyncNoteFile(join(temp.path, 'note'));
  line = new ReceiveLine({
    ...{ spool, bytesMax: 2 ** 30, note, noted: await note.read(), nextSeq: 2, goesOn: true },
    locator: fixedLocator({ host: '127.0.0.1', port: 1 }),
    clock: steppingClock(0),
    random: systemRandom,
    logger: {} as never,
    signal: new AbortController().signal,
  });
});
afterEach(async () => {
  await spool[Symbol.asyncDispose]();
  await temp[Symbol.asyncDispose]();
});

/** Of a line that asks for a full resync next it is not known. */
const goesOnWith = (): string | null => line.status.replid;

describe('ReceiveLine.startAnew()', () => {
  it('asks for a full resync when the history that comes in is of no use', async () => {
    const ino = await syncWire(spool);
    expect(goesOnWith()).toBe(REPLID_A);
    line.startAnew(ino);
    expect(goesOnWith()).toBe(null);
  });

  it('leaves a later history alone', async () => {
    const ino = await syncWire(spool);
    await syncWire(spool, { seq: 1, replid: REPLID_B });
    line.startAnew(ino);
    expect(goesOnWith()).toBe(REPLID_B);
  });

  it('asks again when a later history breaks off before it is whole', async () => {
    const ino = await syncWire(spool);
    await spool.beginSync({ seq: 1, replid: REPLID_B, offset: 500n });
    line.startAnew(ino);
    await spool.dropPartial();
    expect(goesOnWith()).toBe(null);
  });
});
