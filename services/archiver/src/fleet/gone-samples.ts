import type { MetricFamily, MetricSample } from '../metrics/metric-registry.ts';
import type { GoneHost } from './host-watch.ts';

/** Which instances are captured by nobody since their host is gone. */
export const GONE_FAMILIES: readonly MetricFamily[] = [
  {
    name: 'tidemark_archive_host_gone',
    help: 'Whether the one host that can capture the instance shows no life.',
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
