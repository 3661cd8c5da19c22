import { describeSource } from '../support/matrix/describe-source.ts';

describeSource('valkey 8.1');
