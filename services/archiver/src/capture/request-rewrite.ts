import { connectNode, type NodeLocator } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';

const POLL_MS = 500;
const ATTEMPTS_MAX = 3;
const UNCOUNTED = -1;

/**
 * Asks the node to rewrite its log and watches until it has.
 * @throws NodeError `TM_NODE_REPLY` when the rewrite fails or is not begun; `TM_NODE_RIGHTS` when
 *   the user may not ask for one.
 */
export async function requestRewrite(
  locator: NodeLocator,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const address = await locator.locate(signal);
  await using client = await connectNode(address, { timeoutMs: 5_000, signal });
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const before = (await client.info('persistence')).number('aof_rewrites', UNCOUNTED);
    await waitUntilQuiet();
    try {
      await client.call('BGREWRITEAOF');
    } catch (cause) {
      if (!(cause instanceof NodeError) || cause.code !== 'TM_NODE_REPLY') throw cause;
      continue; // one was begun in between; it is over at the next look
    }
    await waitUntilQuiet();
    const info = await client.info('persistence');
    // Before 7.0 rewrites are not counted: this one was begun, and none runs any more.
    const counted = info.number('aof_rewrites', UNCOUNTED);
    const done = counted === UNCOUNTED || counted > before;
    if (done && info.get('aof_last_bgrewrite_status') === 'ok') return;
  }
  throw new NodeError('TM_NODE_REPLY', 'the node did not rewrite its log', {
    hint: 'look into its log file: fork or disk may have failed',
  });

  async function waitUntilQuiet(): Promise<void> {
    for (;;) {
      const info = await client.info('persistence');
      const busy = ['aof_rewrite_in_progress', 'aof_rewrite_scheduled'];
      if (busy.every((name) => info.get(name) !== '1')) return;
      await clock.sleep(POLL_MS, signal);
    }
  }
}
