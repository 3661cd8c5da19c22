import { describeOriginal } from '../support/key-flashback/original-suite.ts';
import { chooseSeed } from '../support/workload.ts';

// As test/integration/key-flashback/original.int.test.ts, with every selector that was asked for.
describeOriginal({
  name: 'selected keys of a running Redis 7.0, twenty seconds and ten selectors each',
  server: null,
  seed: chooseSeed('keys of the original'),
  seconds: 20,
  selectors: 10,
  workload: {},
});
