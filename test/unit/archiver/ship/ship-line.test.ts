import { describe, expect, it } from 'vitest';
import type { RolledSegment } from '../../../../services/archiver/src/capture/timeline-writer.ts';
import { ShipLine } from '../../../../services/archiver/src/ship/ship-line.ts';
import { stored } from '../../../support/log-events.ts';

const segment = (start: bigint): RolledSegment => ({
  payload: [],
  header: stored(start, start + 10n).segment,
  after: { db: 0, inMulti: false, partialBytes: 0 },
  cursor: null,
});
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(refused: Error | null = null) {
  const under: { start: bigint; done: () => void; failed: (cause: unknown) => void }[] = [];
  const order: string[] = [];
  const failures: unknown[] = [];
  const line = new ShipLine({
    shipper: {
      seal: ({ header: { start, end } }: RolledSegment) =>
        new Promise((resolve, failed) => {
          const sealed = { name: `q${start}`, event: stored(start, end) };
          under.push({ start, done: () => resolve(sealed), failed });
        }),
    },
    backlog: {
      add: (name: string) => {
        if (refused !== null) throw refused;
        order.push(`added ${name}`);
      },
    },
    onSealed: ({ name }) => void order.push(`sealed ${name}`),
    onFailed: (cause) => failures.push(cause),
  });
  return { line, under, order, failures };
}

describe('ShipLine', () => {
  it('seals one at a time in the order they were added, each into the backlog', async () => {
    const { line, under, order } = setUp();
    for (const start of [0n, 10n]) line.add(segment(start), null);
    line.run(() => Promise.resolve(void order.push('event')));
    line.add(segment(20n), null);
    expect(line.waiting).toBe(4);
    for (const [i, start] of [0n, 10n, 20n].entries()) {
      await settle();
      expect(under.map((one) => one.start)).toEqual([0n, 10n, 20n].slice(0, i + 1));
      expect(under[i]!.start).toBe(start);
      under[i]!.done();
    }
    await line.sealed();
    const both = (start: number): string[] => [`added q${start}`, `sealed q${start}`];
    expect(line.waiting).toBe(0);
    expect(order).toEqual([...both(0), ...both(10), 'event', ...both(20)]);
  });

  it('seals nothing behind a segment that failed: there would be a hole', async () => {
    const { line, under, order, failures } = setUp();
    line.add(segment(0n), null);
    line.add(segment(10n), null);
    await settle();
    const cause = new Error('no key');
    under[0]!.failed(cause);
    await line.sealed();
    line.add(segment(20n), null);
    await line.sealed();
    expect([under.length, order, failures, line.waiting]).toEqual([1, [], [cause], 0]);
  });

  it('fails once when the backlog refuses one', async () => {
    const cause = new Error('does not follow');
    const { line, under, failures } = setUp(cause);
    line.add(segment(0n), null);
    line.add(segment(10n), null);
    await settle();
    under[0]!.done();
    await line.sealed();
    expect([under.length, failures]).toEqual([1, [cause]]);
  });
});
