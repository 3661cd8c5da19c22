import type { CaptureStatus } from '../capture/capture-status.ts';
import type { MetricFamily, MetricSample } from './metric-registry.ts';
import { isToMove } from './readiness.ts';

const LABELS = ['instance', 'shard'] as const;

/** What the status of a capture shows. */
export const CAPTURE_FAMILIES: readonly MetricFamily[] = [
  gauge(
    'tidemark_instance_up',
    'Whether the node is captured now: it is read, and its link is up.',
  ),
  gauge('tidemark_archive_lag_seconds', 'Seconds between now and the latest proven second.'),
  gauge(
    'tidemark_archive_last_second_timestamp_seconds',
    'Latest second for which it is proven that all that ran in it is stored.',
  ),
  gauge('tidemark_archive_repl_offset', 'Replication offset of the last byte received.'),
  {
    name: 'tidemark_archive_reconnects_total',
    help: 'Times that the replication link was made, by how it went on.',
    type: 'counter',
    labels: [...LABELS, 'kind'],
  },
  gauge('tidemark_spool_bytes', 'Sealed bytes in the spool that wait for the store.'),
  gauge('tidemark_spool_limit_bytes', 'Most bytes that the spool may hold.'),
];

function gauge(name: string, help: string): MetricFamily {
  return { name, help, type: 'gauge', labels: LABELS };
}

/** The numbers of the captures now. What is not known yet is left out: it is not 0. */
export function captureSamples(
  captures: readonly CaptureStatus[],
  { shard, spoolBytesMax }: { readonly shard: string; readonly spoolBytesMax: number },
): readonly MetricSample[] {
  return captures.filter(isToMove).flatMap((capture) => {
    const labels = { instance: capture.instance, shard };
    const samples: MetricSample[] = [];
    const add = (name: string, value: number | null, more = {}): void => {
      if (value !== null)
        samples.push({ name: `tidemark_${name}`, labels: { ...labels, ...more }, value });
    };
    const { link, provenTo } = capture;
    const runs = capture.source !== null && capture.state !== 'stopped' && capture.failure === null;
    const up = runs && capture.linkError === null;
    add('instance_up', up ? 1 : 0);
    add('archive_lag_seconds', capture.lagSeconds);
    add('archive_last_second_timestamp_seconds', provenTo);
    add('spool_bytes', capture.backlogBytes + (link?.spoolBytes ?? 0));
    // A capture by replication has a spool of the wire before that of sealed objects.
    add('spool_limit_bytes', spoolBytesMax * (capture.source === 'psync' ? 2 : 1));
    if (link !== null) {
      add('archive_repl_offset', link.offset === null ? null : Number(link.offset));
      add('archive_reconnects_total', link.fullResyncs, { kind: 'full' });
      add('archive_reconnects_total', link.partialResyncs, { kind: 'partial' });
    }
    return samples;
  });
}
