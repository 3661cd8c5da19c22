import { createHash } from 'node:crypto';
import { renameSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { TailCursor } from '@tidemark/aof';
import { beforeAll, describe, expect, it } from 'vitest';
import { HandMadeAof } from '../../support/aof-folder.ts';
import { buildAof, type AofRun } from '../../support/aof-run.ts';

beforeAll(() => buildAof(), 120_000);

const start = async (): Promise<HandMadeAof> => {
  const folder = await HandMadeAof.create();
  folder.put('b1', 'base');
  folder.put('i1', 'one;');
  folder.manifest('b1 i1');
  return folder;
};

/** A cursor at a position of the file that a run reads, which `text` ends at. */
const at = (run: AofRun, text: string): TailCursor => ({
  ...run.tail.cursor()!,
  position: text.length,
  digest: createHash('sha256').update(text).digest('hex'),
  digestBytes: text.length,
});

describe('AofTail.resumeAt()', () => {
  it('reads on behind the last whole command when a torn one was cut off', async () => {
    await using folder = await start();
    folder.append('i1', 'torn');
    await using run = await folder.open({ paused: true });
    const [opened, bytes] = [await run.tail.next(), await run.tail.next()];
    expect([opened.kind, bytes]).toMatchObject(['opened', { data: Buffer.from('one;torn') }]);
    truncateSync(folder.path('i1'), 4);
    folder.append('i1', 'another;');
    expect(await untilBroken(run)).toMatchObject({ reason: 'divergent-tail', cut: true });
    run.tail.resumeAt(at(run, 'one;'));
    expect(await run.tail.next()).toMatchObject({ continuity: 'resumed', position: 4 });
    expect(await untilBytes(run)).toBe('another;');
  });

  it('is broken once more when the bytes before the place are others too', async () => {
    await using folder = await start();
    await using run = await folder.open({ paused: true });
    await untilBytes(run);
    truncateSync(folder.path('i1'), 0);
    folder.append('i1', 'something else;');
    expect(await untilBroken(run)).toMatchObject({ cut: true });
    run.tail.resumeAt(at(run, 'one;'));
    expect(await untilBroken(run)).toMatchObject({ reason: 'divergent-tail', cut: false });
    expect(await untilBytes(run)).toBe('something else;');
  });

  it('does not help when another file took the place', async () => {
    await using folder = await start();
    await using run = await folder.open({ paused: true });
    await untilBytes(run);
    renameSync(folder.path('i1'), join(folder.dir, 'away'));
    folder.put('i1', 'one;two;');
    folder.put('b5', 'base');
    folder.manifest('b5 i1');
    expect(await untilBroken(run)).toMatchObject({ reason: 'divergent-tail', cut: false });
  });
});

describe('AofTail.giveUp()', () => {
  it('goes on with the next increment, and never again with what cannot be read', async () => {
    await using folder = await start();
    await using run = await folder.open({ paused: true });
    await untilBytes(run);
    await run.tail.giveUp();
    folder.put('i2', 'two;');
    folder.manifest('b1 i1 i2');
    expect(await run.tail.next()).toMatchObject({
      ...{ kind: 'opened', continuity: 'broken', reason: 'divergent-tail' },
      ...{ file: { seq: 2 }, base: null },
    });
    expect(await untilBytes(run)).toBe('two;');
    folder.put('b2', 'base 2');
    folder.manifest('b2 i2');
    for (let item = await run.tail.next(); item.kind !== 'base'; item = await run.tail.next()) {
      expect(item.kind).toBe('idle');
    }
    await run.tail.giveUp(); // of the second one; nothing comes before a third
    folder.put('i3', 'three;');
    folder.manifest('b2 i2 i3');
    expect(await untilBytes(run)).toBe('three;');
  });
});

describe('openAofTail() at a cursor', () => {
  it('delivers bytes of an unfinished command once more, after their proof', async () => {
    await using folder = await start();
    const first = await folder.open();
    await first.idle();
    await first.stop();
    await using second = await folder.open({ resume: first.tail.cursor(), resumeBack: 2 });
    await second.idle();
    expect(second.last.opened).toMatchObject({ continuity: 'resumed', position: 2 });
    expect(second.bytes().toString()).toBe('e;');
  });

  it('without a byte to compare needs the pin that held the file', async () => {
    await using folder = await start();
    const first = await folder.open({ paused: true });
    await first.tail.next();
    const cursor = first.tail.cursor();
    expect(cursor).toMatchObject({ position: 0, digestBytes: 0 });
    await first.stop();
    const second = await folder.open({ resume: cursor });
    await second.idle();
    expect(second.continuities()).toEqual(['resumed']);
    await second.stop();
    renameSync(join(folder.dir, '..', '.tidemark-pins'), join(folder.dir, '..', 'gone'));
    await using third = await folder.open({ resume: cursor });
    await third.idle();
    expect(third.broken()).toEqual(['divergent-tail']);
    expect(third.continuities()).toEqual(['broken']);
  });

  it('finds the pins that an earlier version left without an owner', async () => {
    await using folder = await start();
    const first = await folder.open();
    await first.idle();
    await first.stop();
    folder.append('i1', 'end;');
    folder.put('i2', 'two;');
    folder.put('b2', 'base 2');
    renameSync(folder.path('i1'), join(folder.dir, '..', 'deleted'));
    folder.manifest('b2 i2');
    await using second = await folder.open({ resume: first.tail.cursor(), pinOwner: 'w-1' });
    await second.until('the new start', () => second.stretches.length === 2);
    expect(second.bytes(second.stretches[0]).toString()).toBe('end;');
    await using other = await folder.open({ pinOwner: 'w-2' });
    await other.idle();
    expect(folder.pins()).toEqual(['base2', 'base2', 'incr1', 'incr2', 'incr2']);
  });
});

async function untilBroken(run: AofRun): Promise<unknown> {
  for (;;) {
    const item = await run.tail.next();
    if (item.kind === 'broken') return item;
  }
}

/** The next bytes; what comes before them is passed over. */
async function untilBytes(run: AofRun): Promise<string> {
  for (;;) {
    const item = await run.tail.next();
    if (item.kind === 'bytes') return item.data.toString();
  }
}
