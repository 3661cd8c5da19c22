import { describeSource } from '../support/matrix/describe-source.ts';

describeSource('redis 7.0');
