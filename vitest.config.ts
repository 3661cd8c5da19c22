import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Workspace packages are read from their TypeScript sources (the "source" export condition), so
// that a unit test needs no build. Tests that start processes run what `make build` made.
const conditions = ['source', 'node', 'import', 'default'];

/** Files that take longest, longest first: begun last, they would run on alone. */
const LONG = [
  'fleet-takeover', // it waits for hosts to be gone, for a minute and a half
  ...['policy-runs', 'api-fuzz', 'control-', 'clone-kills', 'clone', 'jobs-killed'],
  ...['jobs-cancelled', 'damage-cli', 'c-killed-archiver', 'damage-in-process', 'a2-', 'a-'],
  ...['cli.', 'access', 'b-', 'k-', 'tde', 's3-store', 'killed-with', 'd-single', 'c2-'],
  ...['l-key', 'disaster', 'files-written', 'feeder', 'expire', 'rdb-check-peer', 'capture-kills'],
  ...['prove-hole', 'single-file', 'selected-', 'original.', 'node-facts', 'cut-logs', 'events.'],
  ...['capture-matrix', 'capture-follows', 'capture-branches', 'capture', 'primary-changes'],
  ...['clock-steps', 'store-faults', 'replication-feed', 'group.', 'jobs.', 'pins', 'multi-part'],
  ...['store-away', 'attached-', 'sentinel', 'restore-', 'aof-check-peer', 'catalog-processes'],
  ...['rdb-conversions', 'away', 'breaks', 'routes', 'write-'],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const name = moduleId.slice(moduleId.lastIndexOf('/') + 1);
      const at = LONG.findIndex((start) => name.startsWith(start));
      return at === -1 ? LONG.length : at;
    };
    const usual = await super.sort(files);
    return usual
      .map((file, at) => ({ file, at, rank: rank(file) }))
      .sort((a, b) => a.rank - b.rank || a.at - b.at)
      .map(({ file }) => file);
  }
}

const project = (
  name: string,
  include: string[],
  testTimeout: number,
  workers: number,
  isolate = true,
): object => ({
  extends: true,
  test: {
    name,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    fileParallelism: workers > 1,
    maxWorkers: workers,
    isolate,
    setupFiles: isolate ? [] : ['test/support/leave-as-found.ts'],
  },
});

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    retry: 0,
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
    projects: [
      // Nothing here keeps state in a module. To read the modules once for each worker, not for each
      // file, is half of the time of the first two, and a fifth of that of the third.
      project(
        'unit',
        ['test/unit/**/*.test.ts', 'test/conformance/**/*.test.ts'],
        60_000,
        2,
        false,
      ),
      project('property', ['test/property/**/*.prop.test.ts'], 60_000, 2, false),
      project('integration', ['test/integration/**/*.int.test.ts'], 180_000, 5, false),
      // Most of a test with a real server is waiting for seconds to pass.
      project('e2e', ['test/e2e/**/*.e2e.test.ts'], 300_000, 4),
      project('matrix', ['test/matrix/**/*.matrix.test.ts'], 300_000, 6),
      project('soak', ['test/soak/**/*.soak.test.ts'], 1_800_000, 1),
    ],
  },
});
