import type { MetricFamily, MetricSample } from './metric-registry.ts';

/** Version of this build, as `tidemark --version` prints it. */
const VERSION = '0.1.0';

/** `tidemark_build_info`: which build runs on which Node. */
export function buildInfo(): { readonly family: MetricFamily; readonly sample: MetricSample } {
  const name = 'tidemark_build_info';
  return {
    family: {
      name,
      help: 'Which build runs, on which Node.',
      type: 'gauge',
      labels: ['version', 'node'],
    },
    sample: { name, labels: { version: VERSION, node: process.versions.node }, value: 1 },
  };
}
