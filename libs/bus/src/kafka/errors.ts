import { BusError, type ErrorContext } from '@tidemark/core';

/** Types of answers, and names of errors of kafkajs, that no waiting makes better. */
const REFUSALS: ReadonlySet<string> = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'ILLEGAL_SASL_STATE',
  'INVALID_TOPIC_EXCEPTION',
  'POLICY_VIOLATION',
  'KafkaJSSASLAuthenticationError',
]);
const TLS_FAULTS = /^(CERT_|ERR_TLS_|ERR_SSL_|EPROTO$|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/;

interface Told {
  readonly name?: unknown;
  readonly type?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
  readonly originalError?: unknown;
  readonly message?: unknown;
}

/** An error of kafkajs, or of a socket, as one of ours; a password is in none of them. */
export function busError(cause: unknown, doing: string, context: ErrorContext = {}): BusError {
  if (cause instanceof BusError) return cause;
  const told = chain(cause);
  const reason = told.map(textOf).find((text) => text !== '') ?? 'no reason';
  const type = told.map(({ type: each, code }) => each ?? code).find((each) => each !== undefined);
  const all = { ...context, ...(typeof type === 'string' ? { reason: type } : {}) };
  if (told.some(isRefusal)) {
    return new BusError('TM_BUS_REFUSED', `Kafka refuses ${doing}: ${reason}`, {
      context: all,
      cause,
      hint: 'look at [events]: user, password, TLS; at the rights of the user, and at the topics',
    });
  }
  const isNoTopic = told.some(({ type: each }) => each === 'UNKNOWN_TOPIC_OR_PARTITION');
  return new BusError('TM_BUS_DOWN', `Kafka does not do ${doing}: ${reason}`, {
    context: all,
    cause,
    ...(isNoTopic ? { hint: 'services make the topics when they start, see docs/kafka.md' } : {}),
  });
}

/** Whether one of the errors below has this name or type. */
export function isKafkaError(cause: unknown, ...names: readonly string[]): boolean {
  return chain(cause).some(
    ({ name, type }) =>
      (typeof name === 'string' && names.includes(name)) ||
      (typeof type === 'string' && names.includes(type)),
  );
}

function isRefusal({ name, type, code }: Told): boolean {
  return [name, type, code].some(
    (each) => typeof each === 'string' && (REFUSALS.has(each) || TLS_FAULTS.test(each)),
  );
}

function textOf({ message }: Told): string {
  return typeof message === 'string' ? message.slice(0, 300) : '';
}

function chain(cause: unknown): readonly Told[] {
  const found: Told[] = [];
  for (let each = cause; typeof each === 'object' && each !== null && found.length < 8;) {
    found.push(each);
    const { cause: below, originalError } = each as Told;
    each = below ?? originalError;
  }
  return found;
}
