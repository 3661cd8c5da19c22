import type { RestoreRequest } from '@tidemark/restorer';

/** What a test asks for, and what it wants otherwise. */
type WantedRestore = Pick<RestoreRequest, 'instance' | 'point'> & Partial<RestoreRequest>;

/** The server of a test as a target. */
function targetAt(port: number): RestoreRequest['target'] {
  return {
    kind: 'server',
    url: `redis://127.0.0.1:${port.toString()}`,
    address: { host: '127.0.0.1', port },
    passwordFile: null,
  };
}

/** A restore that may empty its target and leaves it under the feed's lead, so that it can be compared. */
export function restoreRequest(port: number, wanted: WantedRestore): RestoreRequest {
  return {
    ttl: { mode: 'absolute' },
    target: targetAt(port),
    promote: false,
    verify: 'stream',
    allowFlush: true,
    feedListen: null,
    feedAdvertise: null,
    facts: null,
    ...wanted,
  };
}
