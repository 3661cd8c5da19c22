import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, type TailCursor } from '@tidemark/aof';
import { fixedLocator } from '@tidemark/client';
import { systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type {
  CaptureSource,
  SourceResume,
} from '../../../../../services/archiver/src/capture/capture-source.ts';
import { psyncOpener } from '../../../../../services/archiver/src/capture/psync/open-psync.ts';
import { waitFor } from '../../../../support/archiver-run.ts';
import { patternBytes } from '../../../../support/pattern.ts';
import { steppingClock } from '../../../../support/stepping-clock.ts';
import { TempDir } from '../../../../support/temp-dir.ts';
import {
  harm,
  openWire,
  REPLID_A as A,
  REPLID_B as B,
  syncWire,
  WIRE_KEY,
  wireFiles,
} from '../../../../support/wire-spool.ts';

const STREAM = Buffer.from('*1\r\n$4\r\nPING\r\n'.repeat(10));
const HALF = STREAM.length / 2;
const START = 100;

let temp: TempDir;
let dir: string;
let stop: AbortController;
beforeEach(async () => {
  temp = await TempDir.create();
  dir = join(temp.path, 'orders.wire');
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await temp[Symbol.asyncDispose]();
});

const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A capture whose node cannot be reached: what it reads is what lies here. */
function opened(resume: SourceResume | null, bytesMax = 2 ** 30): Promise<CaptureSource> {
  // The line waits for its node for ever: no time passes.
  const clock = { ...steppingClock(0), sleep: untilAborted };
  return psyncOpener({ dir, bytesMax, key: () => Promise.resolve(WIRE_KEY) }).open({
    writer: 'w-1',
    locator: fixedLocator({ host: '127.0.0.1', port: 1 }),
    ...{ resume, clock, random: systemRandom, signal: stop.signal, isQuiet: () => true },
    limits: {} as never,
    logger: { ...logger, child: () => logger } as never,
  });
}

function untilAborted(_: number, signal?: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** Leaves a spool behind in which `first` comes under A, and what follows under B if it is named. */
async function left(first: Buffer, second: Buffer | null = null): Promise<string> {
  await using spool = await openWire(dir);
  const ino = await syncWire(spool, { offset: BigInt(START) });
  await spool.append(first);
  if (second !== null) {
    await spool.continueAs(B);
    await spool.append(second);
  }
  return ino;
}

/** A cursor after some bytes of the stream, as the log has it. */
function after(ino: string, bytes: number, more: Partial<TailCursor> = {}): SourceResume {
  const block = STREAM.subarray(0, bytes);
  const proof = { digest: digestOf(block), digestBytes: block.length };
  const cursor = { file: A, seq: 0, dev: '0', ino, position: START + bytes, ...proof, ...more };
  return { cursor, back: 0, needsBase: false };
}

/** The first items, as far as bytes: the file, where, and the bytes behind it; null: none are here. */
async function begins(source: CaptureSource): Promise<readonly [string, number, string | null]> {
  const first = await source.next();
  if (first.kind !== 'opened') throw new Error(first.kind);
  const { file, position } = first;
  if (source.link?.offset === position.toString()) return [file.name, position, null];
  const second = await source.next();
  return [file.name, position, second.kind === 'bytes' ? second.data.toString() : second.kind];
}

describe('where a capture by replication goes on', () => {
  it('is in its spool, when that is what the log says', async () => {
    const ino = await left(STREAM);
    await using source = await opened(after(ino, HALF));
    expect(await begins(source)).toEqual([A, START + HALF, STREAM.toString('utf8', HALF)]);
  });

  it.each([
    ['before', A, HALF - 14],
    ['at', A, HALF],
    ['at, told by the new id,', B, HALF],
    ['behind', B, HALF + 14],
  ])('is in its spool %s a promotion', async (_, file, bytes) => {
    const ino = await left(STREAM.subarray(0, HALF), STREAM.subarray(HALF));
    await using source = await opened(after(ino, bytes, { file }));
    const rest = STREAM.toString('utf8', bytes, bytes < HALF ? HALF : undefined);
    expect((await begins(source)).slice(1)).toEqual([START + bytes, rest]);
  });

  it('is not the branch that lost, when another host followed the one that was promoted', async () => {
    const ino = await left(STREAM);
    const resume = after(ino, HALF, { file: B, digest: digestOf(Buffer.alloc(0)), digestBytes: 0 });
    await using source = await opened(resume);
    expect(await begins(source)).toEqual([B, START + HALF, null]);
    expect(source.link).toMatchObject({ replid: B, offset: String(START + HALF) });
  });

  it('is not behind bytes that are other ones than those in the log', async () => {
    const ino = await left(STREAM);
    await using source = await opened(after(ino, HALF, { digest: digestOf(patternBytes(HALF)) }));
    expect(await begins(source)).toEqual([A, START + HALF, null]);
  });

  it('is not a later history, when another host went on with the one before', async () => {
    const ino = await left(STREAM.subarray(0, HALF));
    {
      await using spool = await openWire(dir);
      await syncWire(spool, { seq: 1, offset: 400n });
      await spool.append(STREAM);
    }
    await using source = await opened(after(ino, STREAM.length));
    expect(await begins(source)).toEqual([A, START + STREAM.length, null]);
    expect((await wireFiles(dir, 'snapshot')).length).toBe(0);
  });

  it('is nowhere, and no fault, when the base of a full resync does not hold', async () => {
    await left(STREAM);
    const [base] = await wireFiles(dir, 'snapshot');
    await harm(base!, 'flip', (await stat(base!)).size - 50); // in the frame before its last
    await using source = await opened(null);
    const next = source.next();
    const gone = waitFor(async () => (await wireFiles(dir, 'snapshot')).length === 0);
    expect(await Promise.race([next, gone])).toBe(undefined);
    // Its file goes first.
    await waitFor(() => source.link?.replid === null);
    expect(source.link).toMatchObject({ replid: null, offset: null });
    stop.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
  });

  it('finds room, when what fills the spool is of no use to anybody', async () => {
    const bytesMax = 2 ** 20;
    for (const resume of [null, after('4242', 10, { seq: 1 })]) {
      {
        await using spool = await openWire(dir, { bytesMax });
        await syncWire(spool).then((ino) => spool.releaseSnapshot(ino));
        while (!spool.isFull) await spool.append(patternBytes(60_000));
      }
      await using source = await opened(resume, bytesMax);
      expect(source.link?.spoolBytes).toBeLessThan(bytesMax / 2);
    }
  });
});
