import { describeByReplication } from '../../support/psync-matrix.ts';

describeByReplication(['redis 7.0', 'redis 8.0', 'redis newest']);
