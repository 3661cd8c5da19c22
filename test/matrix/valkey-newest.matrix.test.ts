import { describeSource } from '../support/matrix/describe-source.ts';

describeSource('valkey newest');
