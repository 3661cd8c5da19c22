import kafkajs, { type Kafka, type LogEntry } from 'kafkajs';
import type { BusLogger, BusPorts, BusSettings } from '../bus.ts';
import { correctRequestQueue } from './request-queue.ts';
import { Sockets } from './sockets.ts';

/** Longest wait for one answer, and for a connection. */
export const REQUEST_MS = 10_000;
const CONNECT_MS = 5_000;

/** One client of kafkajs and its sockets. */
export interface Client extends Disposable {
  readonly kafka: Kafka;
}

/** How a client differs. */
export interface ClientOptions {
  readonly settings: BusSettings;
  readonly ports: BusPorts;
  readonly requestMs?: number;
}

/** A client that has not yet connected. Each role has its own, so that none waits for another. */
export function openClient({ settings, ports, requestMs = REQUEST_MS }: ClientOptions): Client {
  correctRequestQueue();
  const sockets = new Sockets();
  const { brokers, tls, sasl } = settings;
  const kafka = new kafkajs.Kafka({
    clientId: ports.clientId,
    brokers: [...brokers],
    // Certificates are verified whatever the environment of the process says.
    ...(tls === null
      ? {}
      : { ssl: { rejectUnauthorized: true, ...(tls.ca === null ? {} : { ca: [tls.ca] }) } }),
    ...(sasl === null ? {} : { sasl: saslOptions(sasl) }),
    connectionTimeout: CONNECT_MS,
    authenticationTimeout: CONNECT_MS,
    requestTimeout: requestMs,
    enforceRequestTimeout: true,
    // Two more tries; whoever calls waits and begins anew, with a client that knows nothing old.
    retry: { retries: 2, initialRetryTime: 300, maxRetryTime: 1_000 },
    logLevel: kafkajs.logLevel.WARN,
    logCreator: () => (entry) => logEntry(ports.logger, entry),
    socketFactory: sockets.factory,
  });
  return { kafka, [Symbol.dispose]: () => sockets[Symbol.dispose]() };
}

function saslOptions({
  mechanism,
  username,
  password,
}: NonNullable<BusSettings['sasl']>): NonNullable<
  ConstructorParameters<typeof kafkajs.Kafka>[0]['sasl']
> {
  // One of three types that differ in their mechanism alone.
  switch (mechanism) {
    case 'plain':
      return { mechanism, username, password };
    case 'scram-sha-256':
      return { mechanism, username, password };
    case 'scram-sha-512':
      return { mechanism, username, password };
  }
}

/** Told of by whoever works with the connection, once for each outage. */
const QUIET: ReadonlySet<string> = new Set(['Connection', 'RequestQueue', 'BrokerPool', 'Cluster']);

/** What kafkajs calls an error is mostly a broker that went away. */
function logEntry(logger: BusLogger, { namespace, log }: LogEntry): void {
  if (QUIET.has(namespace)) return;
  const { message, groupId, broker } = log as {
    message: string;
    groupId?: unknown;
    broker?: unknown;
  };
  logger.info('Kafka client', {
    part: namespace,
    text: message.slice(0, 300),
    ...(typeof groupId === 'string' ? { group: groupId } : {}),
    ...(typeof broker === 'string' ? { broker } : {}),
  });
}
