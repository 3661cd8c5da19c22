import type { NodeClient } from '@tidemark/client';
import { TidemarkError } from '@tidemark/core';
import type { JobContext } from '../jobs/job.ts';
import { askStatus } from '../queries/status.ts';
import type { DataParts } from './purge-expired.ts';

const ROLL_MS = 30_000;
/** How long the log may take to have what was written up to now, and the pause between looks. */
const CURRENT_MS = 60_000;
const LOOK_MS = 500;

/** Where a node is in the history that it gives its replicas. */
interface HistoryPlace {
  readonly replid: string;
  readonly offset: bigint;
}

/**
 * Waits until all that was written to a node up to now is in the store; what comes after is in the log too.
 *
 * That the log is proven up to now says it of the node that is captured. Behind Sentinels that may be another one than
 * this, with a history that has parted: then this one's is followed too, or nothing is.
 * @throws TidemarkError `TM_ARCHIVER_DOWN` when it is not; what the archiver answers.
 */
export async function untilCurrent(
  client: NodeClient,
  { workspace, clock }: DataParts,
  { job: { instance }, signal }: JobContext,
): Promise<void> {
  const place = await placeOf(client);
  const [time] = (await client.call('TIME')) as readonly unknown[];
  const second = Number(String(time));
  const untilMs = clock.monotonicMs() + CURRENT_MS;
  for (;;) {
    const asked = { timeoutMs: ROLL_MS, signal };
    // Before it is asked to store what it has.
    const isFollowed = await follows(instance, place, workspace, signal);
    const answer = await workspace.askArchiver('roll', instance, asked);
    const { provenTo = null } = (answer ?? {}) as { readonly provenTo?: number | null };
    if (isFollowed && provenTo !== null && provenTo >= second) return;
    if (answer === null || clock.monotonicMs() >= untilMs) {
      const what = isFollowed
        ? 'what was written since the backup is not in the store'
        : 'the archiver does not follow this node';
      throw new TidemarkError('TM_ARCHIVER_DOWN', `nothing was cleared: ${what}`, {
        context: { instance, provenTo, second, isFollowed },
        hint: isFollowed
          ? 'tidemark windows; ask again once its end is close to now'
          : 'another node may have taken over: ask again once tidemark status shows that one',
      });
    }
    await clock.sleep(LOOK_MS, signal);
  }
}

async function placeOf(client: NodeClient): Promise<HistoryPlace> {
  const info = await client.info('replication');
  const offset = info.get('master_repl_offset') ?? '';
  return {
    replid: info.get('master_replid') ?? '',
    offset: /^\d{1,19}$/.test(offset) ? BigInt(offset) : 0n,
  };
}

/** Append-only files are those of the node itself: there is no link then. */
async function follows(
  instance: string,
  { replid, offset }: HistoryPlace,
  workspace: DataParts['workspace'],
  signal: AbortSignal,
): Promise<boolean> {
  const status = await askStatus(workspace, signal);
  const capture = status?.captures.find((one) => one.instance === instance);
  if (capture === undefined) return false;
  const { link } = capture;
  return link === null || (link.replid === replid && BigInt(link.offset ?? -1) >= offset);
}
