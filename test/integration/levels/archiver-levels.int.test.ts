import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench, INSTANCE, waitFor } from '../../support/archiver-run.ts';
import { patternBytes } from '../../support/pattern.ts';

const MINUTE = 60_000;
const ROLL = { rollMaxAgeMs: 30 };

beforeAll(buildAof);

/** The time of this host, moved to the beginning of an hour and on as a test says. */
function movedClock(): Clock & { move: (byMs: number) => void } {
  const now = systemClock.nowMs();
  let byMs = 60 * MINUTE - (now % (60 * MINUTE));
  return {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + byMs,
    move: (more) => void (byMs += more),
  };
}

let number = 0;

/** Writes until so many more segments are stored. */
async function writeSegments(bench: ArchiverBench, client: Redis, count: number): Promise<void> {
  const stored = async (): Promise<number> => (await bench.events('SegmentStored')).length;
  for (let i = 0; i < count; i++) {
    const before = await stored();
    await client.set(`key:${i}`, patternBytes(100, ++number));
    await waitFor(async () => (await stored()) > before);
  }
}

async function mergedLevels(bench: ArchiverBench): Promise<number[]> {
  const events = await bench.events('SegmentsMerged');
  return events.flatMap((event) => (event.type === 'SegmentsMerged' ? [event.segment.level] : []));
}

describe('an archiver', () => {
  it('merges what it captures, over its restarts, and loses no byte of it', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const clock = movedClock();
    const first = await bench.begin({ limits: ROLL, clock });
    await writeSegments(bench, client, 3);
    clock.move(MINUTE);
    await writeSegments(bench, client, 1);
    await waitFor(async () => (await mergedLevels(bench)).length > 0);
    expect(await mergedLevels(bench)).toEqual([1]);
    await writeSegments(bench, client, 2);
    await first.stop();

    // What the next one merges it has from the disk: the keys of the first are gone.
    clock.move(MINUTE);
    const second = await bench.begin({ limits: ROLL, clock });
    await writeSegments(bench, client, 1);
    await waitFor(async () => (await mergedLevels(bench)).length > 1);
    clock.move(9 * MINUTE);
    await waitFor(async () => (await mergedLevels(bench)).includes(2));
    const segments = await bench.withCatalog((catalog) => {
      const { timeline } = catalog.timelines(INSTANCE).at(-1)!;
      return catalog.segments(timeline);
    });
    expect(segments.map(({ level }) => level)).toEqual([2]);
    const [stored, written] = [await bench.storedCommands(), await bench.serverCommands()];
    expect(stored.equals(written)).toBe(true);

    clock.move(60 * MINUTE);
    await writeSegments(bench, client, 1);
    await second.stop();
    // What is merged to the top, and what is not merged yet, has no copy but the latter's.
    const copies = join(bench.stateDir(), 'spool', `${INSTANCE}.copies`);
    expect((await readdir(copies)).length).toBeLessThanOrEqual(2);
    expect(await readdir(join(bench.stateDir(), 'spool', `${INSTANCE}.merged`))).toEqual([]);
  });
});
