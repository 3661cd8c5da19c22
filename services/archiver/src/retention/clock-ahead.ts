import { StoreError } from '@tidemark/core';
import { areApart, storeTime } from '@tidemark/store';
import { syncInstance, type RetentionPorts } from './retention-ports.ts';

/** How far the clock of this host may be ahead of what a live archiver wrote last. */
const AHEAD_MS_MAX = 600_000;
/** How long a log is watched for a sign of life: more than a heartbeat. */
const WATCH_MS = 30_000;
const LOOK_EVERY_MS = 5_000;

/**
 * Refuses a clock that is far ahead of an archiver that is alive: by it a grace or a lease would be over
 * too early. The catalog is up to date; where the newest entry is old, the logs are watched for half a
 * minute, since an archiver that is gone writes none either. A store with a clock of its own is asked first.
 *
 * @throws StoreError `TM_STORE_CLOCK`; as `Catalog.sync`.
 */
export async function refuseClockAhead(instance: string, ports: RetentionPorts): Promise<void> {
  const { catalog, clock, signal } = ports;
  await refuseApart(instance, ports);
  const nowMs = clock.nowMs();
  const aheadMs = (): number => {
    const last = catalog.writers(instance).map(({ state }) => state.lastEntryMs ?? -Infinity);
    return nowMs - Math.max(...last, -Infinity);
  };
  const owned = (): readonly string[] =>
    catalog
      .writers(instance)
      .filter(({ state }) => state.owner !== null && !state.owner.released)
      .map(({ writer, state }) => `${writer} ${state.seq}`);
  const before = owned();
  if (before.length === 0 || aheadMs() <= AHEAD_MS_MAX) return;
  for (let watched = 0; watched < WATCH_MS; watched += LOOK_EVERY_MS) {
    await clock.sleep(LOOK_EVERY_MS, signal);
    await syncInstance(instance, ports);
    if (aheadMs() <= AHEAD_MS_MAX) return;
    if (owned().every((one) => before.includes(one))) continue;
    const minutes = Math.floor(aheadMs() / 60_000);
    throw new StoreError(
      'TM_STORE_CLOCK',
      `the clock of this host is ${minutes} minutes ahead of the archiver, which is writing now`,
      {
        context: { instance, aheadMs: aheadMs() },
        hint: 'set the clocks of both hosts; nothing was marked or deleted',
      },
    );
  }
}

/** A store that is another machine knows what time it is, whether or not an archiver is alive. */
async function refuseApart(
  instance: string,
  { store, clock, signal }: RetentionPorts,
): Promise<void> {
  const storeMs = await storeTime(store, signal);
  const nowMs = clock.nowMs();
  if (storeMs === null || !areApart(nowMs, storeMs)) return;
  const minutes = Math.floor(Math.abs(nowMs - storeMs) / 60_000);
  throw new StoreError(
    'TM_STORE_CLOCK',
    `the clocks of this host and of the store are ${minutes} minutes apart`,
    {
      context: { instance, aheadMs: nowMs - storeMs },
      hint: 'set the clock of this host; nothing was marked or deleted',
    },
  );
}
