import type { MetricFamily, MetricSample } from '../metrics/metric-registry.ts';
import type { GoneHost } from './host-watch.ts';

/** Which instances are captured by nobody: their host is gone, or let go of them and no other went on. */
export const GONE_FAMILIES: readonly MetricFamily[] = [
  {
    name: 'tidemark_archive_host_gone',
    help: 'Whether nobody captures the instance: its host shows no life, and no other one went on.',
    type: 'gauge',
    labels: ['instance'],
  },
];

/** A sample for each of them; none where all is well. */
export function goneSamples(gone: readonly GoneHost[]): readonly MetricSample[] {
  return gone.map(({ instance }) => ({
    name: 'tidemark_archive_host_gone',
    labels: { instance },
    value: 1,
  }));
}
