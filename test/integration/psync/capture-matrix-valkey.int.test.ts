import { describeByReplication } from '../../support/psync-matrix.ts';

describeByReplication(['valkey 8.1', 'valkey newest']);
