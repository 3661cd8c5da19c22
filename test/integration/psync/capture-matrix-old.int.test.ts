import { describeByReplication } from '../../support/psync-matrix.ts';

// Apart: a server before 6.2 is read within a part of a second, which a busy machine cannot do.
describeByReplication(['redis 6.0']);
