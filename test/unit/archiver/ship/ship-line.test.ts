import type { SegmentStored } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import type { RolledSegment } from '../../../../services/archiver/src/capture/timeline-writer.ts';
import type { SegmentShipper } from '../../../../services/archiver/src/ship/segment-shipper.ts';
import { ShipLine } from '../../../../services/archiver/src/ship/ship-line.ts';
import { stored } from '../../../support/log-events.ts';

const segment = (start: bigint): RolledSegment => ({
  payload: [],
  header: stored(start, start + 10n).segment,
  after: { db: 0, inMulti: false, partialBytes: 0 },
  cursor: null,
});
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(shippedFails = false) {
  const under: { start: bigint; done: () => void; failed: (cause: unknown) => void }[] = [];
  const shipped: bigint[] = [];
  const failures: unknown[] = [];
  const shipper = {
    ship: ({ header }: RolledSegment) =>
      new Promise<SegmentStored>((resolve, failed) => {
        under.push({
          start: header.start,
          done: () => resolve(stored(header.start, header.end)),
          failed,
        });
      }),
  } as unknown as SegmentShipper;
  const line = new ShipLine({
    shipper,
    onShipped: ({ header }) => {
      shipped.push(header.start);
      return shippedFails ? Promise.reject(new Error('a pin stays')) : Promise.resolve();
    },
    onFailed: (cause) => failures.push(cause),
  });
  return { line, under, shipped, failures };
}

describe('ShipLine', () => {
  it('ships one at a time in the order they were added', async () => {
    const { line, under, shipped } = setUp();
    for (const start of [0n, 10n, 20n]) line.add(segment(start), null);
    expect(line.waiting).toBe(3);
    for (const [i, start] of [0n, 10n, 20n].entries()) {
      await settle();
      expect(under.map((one) => one.start)).toEqual([0n, 10n, 20n].slice(0, i + 1));
      expect(under[i]!.start).toBe(start);
      under[i]!.done();
    }
    await line.settled();
    expect([line.waiting, shipped]).toEqual([0, [0n, 10n, 20n]]);
  });

  it('ships nothing behind a segment that failed: there would be a hole', async () => {
    const { line, under, shipped, failures } = setUp();
    line.add(segment(0n), null);
    line.add(segment(10n), null);
    await settle();
    const cause = new Error('another owner');
    under[0]!.failed(cause);
    await line.settled();
    line.add(segment(20n), null);
    await line.settled();
    expect([under.length, shipped, failures, line.waiting]).toEqual([1, [], [cause], 0]);
  });

  it('fails once when what follows a segment fails', async () => {
    const { line, under, failures } = setUp(true);
    line.add(segment(0n), null);
    line.add(segment(10n), null);
    await settle();
    under[0]!.done();
    await line.settled();
    expect([under.length, failures.map(String)]).toEqual([1, ['Error: a pin stays']]);
  });
});
