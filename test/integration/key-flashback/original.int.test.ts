import { describeOriginal } from '../../support/key-flashback/original-suite.ts';
import { chooseSeed } from '../../support/workload.ts';

describeOriginal({
  name: 'selected keys of a running Redis 7.0',
  server: null,
  seed: chooseSeed('keys of the original'),
  seconds: 10,
  selectors: 3,
  workload: {},
});
