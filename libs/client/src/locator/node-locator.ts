import { describeAddress, type NodeAddress } from '../node-address.ts';

/**
 * Where a node is now. Whoever connects asks it before each connection, for the node may have
 * become another one (a change of primary under Sentinel).
 */
export interface NodeLocator extends AsyncDisposable {
  /**
   * Where the node is now; asks Sentinel where needed.
   *
   * @throws NodeError when nobody knows (its `retryable` says whether time may mend it); the signal's
   *   reason.
   */
  locate(signal?: AbortSignal): Promise<NodeAddress>;
  /** The latest answer, without asking; null before the first. */
  readonly latest: NodeAddress | null;
  /** Called when another node became the one to follow. Returns a function that stops it. */
  onMoved(listener: (address: NodeAddress) => void): () => void;
  /** For messages; without user and password. */
  readonly name: string;
}

/** A node that never moves. */
export function fixedLocator(address: NodeAddress): NodeLocator {
  return {
    async locate(signal) {
      signal?.throwIfAborted();
      return Promise.resolve(address);
    },
    latest: address,
    onMoved: () => () => undefined,
    name: describeAddress(address),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
