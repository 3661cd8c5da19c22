import type { LogEntry } from '@tidemark/catalog';
import { expect } from 'vitest';
import type { FleetBench, FleetOwner, FleetShard } from './fleet-run.ts';

/** The hosts that own a log, by name. */
export function hostsOf(owners: readonly FleetOwner[]): readonly string[] {
  return [...new Set(owners.map(({ host }) => host))].sort();
}

const TELLING: readonly string[] = [
  'OwnerClaimed',
  'TimelineOpened',
  'TimelineClosed',
  'SnapshotStored',
  'Released',
];

function tellEntry({ seq, event }: LogEntry): string {
  const reason = 'reason' in event ? ` ${event.reason}` : '';
  return `${seq} ${event.type}${reason}`;
}

/**
 * The log of an instance shows one owner at a time and one timeline without a hole: the numbers of
 * its entries follow each other, no entry is of an older claim than the one before it, and each
 * segment begins where the last one ended.
 * @param holes - Timelines that were begun anew. Default 0.
 */
export async function expectOneLine(fleet: FleetBench, instance: string, holes = 0): Promise<void> {
  const entries = await fleet.entries(instance);
  let generation = 0;
  let end = 0n;
  let opened = 0;
  entries.forEach((entry, at) => {
    const { event } = entry;
    expect(entry.seq).toBe(at);
    if (event.type === 'OwnerClaimed') expect(event.generation).toBe(generation + 1);
    if (event.type === 'OwnerClaimed') generation = event.generation;
    expect(entry.generation, `${instance} ${at} ${event.type}`).toBe(generation);
    if (event.type === 'TimelineOpened') [end, opened] = [0n, opened + 1];
    if (event.type !== 'SegmentStored') return;
    expect(event.segment.start).toBe(end);
    end = event.segment.end;
  });
  const story = entries.filter(({ event }) => TELLING.includes(event.type)).map(tellEntry);
  expect(opened, `timelines of ${instance}: ${story.join('; ')}`).toBe(1 + holes);
}

/**
 * Nothing is missing between the first second and the last, and the store holds every number that
 * the server took since the first one that it holds, once.
 */
export async function expectAll(
  fleet: FleetBench,
  { instance, written }: FleetShard,
): Promise<void> {
  const { ranges, holes } = await fleet.windows(instance);
  expect(holes).toEqual([]);
  expect(ranges).toHaveLength(1);
  const numbers = await fleet.storedNumbers(instance);
  const [first = 0] = numbers;
  const expected = Array.from({ length: written - first + 1 }, (_, at) => first + at);
  expect(numbers).toEqual(expected);
}
