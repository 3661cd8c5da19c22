import type { InstanceState } from '../model/instance-state.ts';
import { instanceDigestAt } from './instance-log-reader.ts';
import { openInstanceLog, type InstanceLog, type InstanceLogOptions } from './instance-log.ts';

/**
 * Opens an instance log and reads on from a fold of before, for one request: what was read is not read
 * again. A store that was set back or made anew does not hold the last
 * entry of the fold, and is read from the beginning.
 *
 * @param known - A fold of this log that was read before; of any age, also the empty one.
 * @throws As `openInstanceLog`.
 */
export async function reopenInstanceLog(
  known: InstanceState,
  options: InstanceLogOptions,
): Promise<InstanceLog> {
  const { seq, digest } = known;
  const isThere = seq >= 0 && (await instanceDigestAt(options, seq)) === digest;
  return openInstanceLog(isThere ? { ...options, from: known } : options);
}
