import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LogFields, Logger } from '../../../../services/archiver/src/logger.ts';
import {
  keepRetention,
  type DailyRetentionOptions,
} from '../../../../services/archiver/src/retention/daily-retention.ts';
import type { MemoryStore } from '../../../support/memory-store.ts';
import { failsBefore } from '../../../support/memory-store.ts';
import { DAY_MS, ENDED_MS, writeSeconds } from '../../../support/retention-run.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, FIRST + 99);
});
afterEach(() => archive[Symbol.asyncDispose]());

/** Runs the retention of an archiver until it has said so many lines. */
async function linesOf(count: number, store: MemoryStore): Promise<readonly LogFields[]> {
  const environment = await archive.environment();
  const lines: LogFields[] = [];
  const stop = new AbortController();
  const say = (_: string, fields: LogFields = {}): void => {
    lines.push({ ...fields, atMs: clock.now });
    if (lines.length === count) stop.abort(new Error('enough'));
  };
  const logger: Logger = { info: say, warn: say, error: say, child: () => logger };
  const clock = steppingClock(ENDED_MS);
  const options: DailyRetentionOptions = {
    ...environment,
    ...{ store, clock, logger, instances: () => [ARCHIVED] },
    rules: { retainSeconds: 30, graceMs: DAY_MS, shareMax: 1 },
  };
  await keepRetention(options, stop.signal);
  return lines;
}

it('marks ten minutes after the start, deletes when the grace is over, and looks daily', async () => {
  const lines = await linesOf(3, archive.store);
  // Its writer wrote long ago: half a minute shows that it does no more.
  const start = ENDED_MS + 600_000 + 30_000;
  expect(lines[0]).toMatchObject({ atMs: start, instance: ARCHIVED, deleted: 0 });
  expect(lines[0]?.['marked']).toBeGreaterThan(3);
  expect(lines[1]).toMatchObject({ marked: 0, deleted: 3, due: null });
  const [first, second, third] = lines.map((line) => Number(line['atMs']));
  expect(second! - first!).toBeGreaterThanOrEqual(DAY_MS);
  expect(second! - first!).toBeLessThan(DAY_MS + 3_700_000);
  expect(third! - second!).toBeGreaterThanOrEqual(DAY_MS);
});

it('says what it fails with, and tries again within hours', async () => {
  let faults = 0;
  const store = archive.store.through(({ op, key }) =>
    op === 'list' && key.includes('/rdb/') && ++faults < 3 ? failsBefore(key) : undefined,
  );
  const lines = await linesOf(3, store);
  expect(lines.slice(0, 2)).toMatchObject([{ code: 'TM_STORE_IO' }, { code: 'TM_STORE_IO' }]);
  expect(lines[2]?.['marked']).toBeGreaterThan(3);
  expect(Number(lines[2]?.['atMs']) - ENDED_MS).toBeLessThan(4 * 3_600_000);
});
