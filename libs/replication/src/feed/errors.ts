import { NodeError, type ErrorContext, type ErrorDetails } from '@tidemark/core';

/** The error of a feed that cannot reach its end; `context.phase` is always set by the caller. */
export function feedError(
  message: string,
  context: ErrorContext,
  details: ErrorDetails = {},
): NodeError {
  return new NodeError('TM_FEED', message, { ...details, context });
}

/** The connection to the server went; the feed may go on with the next one. */
export class LinkLost extends Error {
  /** Whether the other end closed it, and not we. */
  readonly byPeer: boolean;

  constructor(message: string, byPeer: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LinkLost';
    this.byPeer = byPeer;
  }
}
