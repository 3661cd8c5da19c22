import { defineConfig } from 'vitest/config';

// Workspace packages are read from their TypeScript sources (the "source" export condition), so
// that a unit test needs no build. Tests that start processes run what `make build` made.
const conditions = ['source', 'node', 'import', 'default'];

const project = (
  name: string,
  include: string[],
  testTimeout: number,
  parallel: boolean,
): object => ({
  extends: true,
  test: { name, include, testTimeout, hookTimeout: testTimeout, fileParallelism: parallel },
});

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    retry: 0,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      project('unit', ['test/unit/**/*.test.ts', 'test/conformance/**/*.test.ts'], 20_000, true),
      project('property', ['test/property/**/*.prop.test.ts'], 60_000, true),
      project('integration', ['test/integration/**/*.int.test.ts'], 180_000, true),
      // Most of an end-to-end test is waiting for seconds to pass.
      project('e2e', ['test/e2e/**/*.e2e.test.ts'], 300_000, true),
      project('soak', ['test/soak/**/*.soak.test.ts'], 1_800_000, false),
    ],
  },
});
