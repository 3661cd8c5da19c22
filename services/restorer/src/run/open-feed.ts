import { refuseClearTransport, tdeOf, type TdeEnvironment } from '../tde/instance-tde.ts';
import type { RunningFeed } from '../feeder/feeder.ts';
import { knowsCommand } from '../target/index.ts';
import type { OpenTarget } from './open-target.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import type { RestoreRecord } from './restore-record.ts';

/**
 * Opens the feed that a record tells of. Of an instance with TDE it goes over the loopback only.
 * @param environment - `resume`: it takes over from a feed of an earlier process.
 * @throws NodeError `TM_FEED_LISTEN`; TidemarkError `TM_TDE_DENIED`; as `tdeOf`.
 */
export async function openFeedOf(
  { instance, feed, rdbVersion, commands }: RestoreRecord,
  { feeder }: PreparedPlan,
  { client }: OpenTarget,
  environment: TdeEnvironment & { readonly resume?: boolean },
): Promise<RunningFeed> {
  const { listenHost, port, user, password, replicationId, baseOffset } = feed;
  const ends = [listenHost, feed.host, client.remoteAddress];
  refuseClearTransport(await tdeOf(instance, environment), ends);
  const { resume = false } = environment;
  return feeder.feed(
    {
      ...{ listenHost, port, user, password, replicationId, resume, rdbVersion },
      allowFrom: client.remoteAddress,
      baseOffset: BigInt(baseOffset),
      form: commands,
    },
    (name) => knowsCommand(client, name),
  );
}
