import {
  openInstanceLog,
  reopenInstanceLog,
  type InstanceLog,
  type InstanceLogOptions,
} from '@tidemark/catalog';
import type { ObjectStore } from '@tidemark/store';

/** What this process has read of each store, by instance: a fold each. */
const known = new WeakMap<ObjectStore, Map<string, Pick<InstanceLog, 'state'>>>();

/**
 * Opens an instance log; what this process has read of it before is not read again.
 * @param of - The store itself, where that of the options only counts its requests.
 * @throws As `openInstanceLog`.
 */
export async function openKnownLog(
  options: InstanceLogOptions,
  of: ObjectStore = options.store,
): Promise<InstanceLog> {
  const logs = known.get(of) ?? new Map<string, Pick<InstanceLog, 'state'>>();
  known.set(of, logs);
  const before = logs.get(options.iid);
  const log =
    before === undefined
      ? await openInstanceLog(options)
      : await reopenInstanceLog(before.state, options);
  logs.set(options.iid, log);
  return log;
}
