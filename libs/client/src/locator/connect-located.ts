import type { NodeAddress } from '../node-address.ts';
import { connectNode, type ConnectOptions, type NodeClient } from '../node-client.ts';
import { placeName } from './host-port.ts';
import type { NodeLocator } from './node-locator.ts';

/**
 * Connects to where the node is now. The connection closes when the node has moved: the one that was
 * left may answer for long, or hold its connections and answer nobody.
 *
 * @throws As `locate` and `connectNode`.
 */
export async function connectLocated(
  locator: NodeLocator,
  options: ConnectOptions = {},
): Promise<NodeClient> {
  let client: NodeClient | null = null;
  let target: NodeAddress | null = null;
  const closeIfLeft = (): void => {
    if (client === null || target === null) return;
    if (placeName(client.address) !== placeName(target)) void client.close();
  };
  const stop = locator.onMoved((address) => {
    target = address;
    closeIfLeft();
  });
  try {
    client = await connectNode(await locator.locate(options.signal), options);
    void client.closed.then(stop);
    closeIfLeft(); // it may have moved while we connected
    return client;
  } catch (error) {
    stop();
    throw error;
  }
}
