import type { HoleReason } from '@tidemark/archive';
import type { WriterEvent } from '@tidemark/catalog';
import type { MetricFamily, MetricSample } from './metric-registry.ts';

const LABELS = ['instance', 'shard'] as const;

/** Every reason of a hole: a series that begins with 1 would hide its first one from `increase`. */
const REASONS: readonly HoleReason[] = [
  ...(['aof-off', 'rewrite-unobserved', 'backlog-overrun', 'divergent-tail'] as const),
  ...(['clock-step', 'spool-full', 'pin-dropped', 'detached', 'capture-down'] as const),
];

/** What is counted of the events of a writer log. */
export const EVENT_FAMILIES: readonly MetricFamily[] = [
  {
    name: 'tidemark_archive_bytes_total',
    help: 'Bytes of the command stream that are durable: raw as the node wrote them, stored as sealed.',
    type: 'counter',
    labels: [...LABELS, 'stage'],
  },
  {
    name: 'tidemark_archive_commands_total',
    help: 'Commands in durable segments.',
    type: 'counter',
    labels: LABELS,
  },
  {
    name: 'tidemark_archive_segments_total',
    help: 'Segments that were stored as captured, or merged from such.',
    type: 'counter',
    labels: [...LABELS, 'outcome'],
  },
  {
    name: 'tidemark_archive_gaps_total',
    help: 'Ends of continuity, by reason.',
    type: 'counter',
    labels: [...LABELS, 'reason'],
  },
];

interface Counts {
  readonly shard: string;
  rawBytes: number;
  storedBytes: number;
  commands: number;
  stored: number;
  merged: number;
  readonly gaps: Map<HoleReason, number>;
}

/** Counts what became durable since this process started: a few additions for each log entry. */
export class EventCounts {
  readonly #byInstance = new Map<string, Counts>();

  /** Takes an event that is in the log. */
  note(instance: string, shard: string, event: WriterEvent): void {
    const counts = this.#of(instance, shard);
    if (event.type === 'SegmentStored') {
      counts.stored += 1;
      counts.rawBytes += event.segment.rawBytes;
      counts.storedBytes += event.object.size;
      counts.commands += event.segment.commands;
    } else if (event.type === 'SegmentsMerged') {
      counts.merged += 1;
    } else if (event.type === 'TimelineClosed') {
      counts.gaps.set(event.reason, (counts.gaps.get(event.reason) ?? 0) + 1);
    } else if (event.type === 'ClockStepped' && event.direction === 'back') {
      counts.gaps.set('clock-step', (counts.gaps.get('clock-step') ?? 0) + 1);
    }
  }

  samples(): readonly MetricSample[] {
    return [...this.#byInstance].flatMap(([instance, counts]) => {
      const labels = { instance, shard: counts.shard };
      const of = (name: string, value: number, more = {}): MetricSample => ({
        name: `tidemark_archive_${name}_total`,
        labels: { ...labels, ...more },
        value,
      });
      return [
        of('bytes', counts.rawBytes, { stage: 'raw' }),
        of('bytes', counts.storedBytes, { stage: 'stored' }),
        of('commands', counts.commands),
        of('segments', counts.stored, { outcome: 'stored' }),
        of('segments', counts.merged, { outcome: 'merged' }),
        ...REASONS.map((reason) => of('gaps', counts.gaps.get(reason) ?? 0, { reason })),
      ];
    });
  }

  #of(instance: string, shard: string): Counts {
    let counts = this.#byInstance.get(instance);
    if (counts === undefined) {
      const [rawBytes, storedBytes, commands, stored, merged] = [0, 0, 0, 0, 0];
      counts = { shard, rawBytes, storedBytes, commands, stored, merged, gaps: new Map() };
      this.#byInstance.set(instance, counts);
    }
    return counts;
  }
}
