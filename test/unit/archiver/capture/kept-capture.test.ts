import { CatalogError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { KeptCapture } from '../../../../services/archiver/src/capture/kept-capture.ts';
import type { Logger } from '../../../../services/archiver/src/logger.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const note = (): void => undefined;
const logger: Logger = { info: note, warn: note, error: note, child: () => logger };

/** A capture whose log is owned by these, one after the other. */
async function keep(...owners: readonly string[]): Promise<{ tries: number; pauses: number[] }> {
  const clock = steppingClock(1_000);
  let tries = 0;
  const kept = new KeptCapture({
    ...{ instance: 'orders', clock, logger, beside: () => Promise.resolve() },
    open() {
      const ownerId = owners[tries++];
      if (ownerId === undefined) throw new Error('tried once too often');
      return Promise.reject(new CatalogError('TM_LOG_OWNER', 'owned', { context: { ownerId } }));
    },
  });
  await expect(kept.done).rejects.toMatchObject({
    ...{ code: 'TM_LOG_OWNER', context: { ownerId: owners.at(-1) } },
  });
  expect(kept).toMatchObject({ isLost: true, over: true });
  return { tries, pauses: clock.pauses };
}

describe('a capture whose log belongs to somebody else', () => {
  it('leaves it alone for good when that is an archiver', async () => {
    expect(await keep('spool-2')).toMatchObject({ tries: 1, pauses: [] });
  });

  it('tries again while that is a one-off backup, which may have been killed', async () => {
    const { tries, pauses } = await keep('dump-1', 'dump-1', 'dump-1', 'spool-2');
    expect(tries).toBe(4);
    expect(pauses).toEqual([1_000, 2_000, 4_000]);
  });
});
