/** Maxima of the server; docs/api.md names them. */
export interface ApiLimits {
  /** Bytes of a body. */
  readonly bodyBytes: number;
  /** Connections at one time; others are closed at once. */
  readonly connections: number;
  /** How long the headers of a request may take, in milliseconds. */
  readonly headersMs: number;
  /** How long a whole request may take to come in, in milliseconds. */
  readonly requestMs: number;
  /** How long an answer may take, in milliseconds; streams may take longer. */
  readonly handlerMs: number;
  /** How long a connection may be silent, in milliseconds. */
  readonly idleMs: number;
  /** How often connections are looked at for the three above, in milliseconds. */
  readonly checkMs: number;
  /** Requests of one caller within a minute. */
  readonly requestsPerMinute: number;
  /** Refused tokens of one address within a minute. */
  readonly refusalsPerMinute: number;
  /** Delay of the event loop from which on requests are turned away, in milliseconds. */
  readonly eventLoopMs: number;
  /** How often streams of events say that they live, and their callers are looked at, in milliseconds. */
  readonly heartbeatMs: number;
  /** How long requests that run may go on after SIGTERM, in milliseconds. */
  readonly drainMs: number;
}

/** What holds where nothing else is said. */
export const API_LIMITS: ApiLimits = {
  bodyBytes: 256 * 1024,
  connections: 1024,
  headersMs: 10_000,
  requestMs: 30_000,
  handlerMs: 60_000,
  idleMs: 75_000,
  checkMs: 1000,
  requestsPerMinute: 1200,
  refusalsPerMinute: 60,
  eventLoopMs: 2000,
  heartbeatMs: 15_000,
  drainMs: 20_000,
};
