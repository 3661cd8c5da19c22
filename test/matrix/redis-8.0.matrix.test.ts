import { describeSource } from '../support/matrix/describe-source.ts';

describeSource('redis 8.0');
