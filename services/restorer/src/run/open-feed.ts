import type { RunningFeed } from '../feeder/feeder.ts';
import { knowsCommand } from '../target/index.ts';
import type { OpenTarget } from './open-target.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import type { RestoreRecord } from './restore-record.ts';

/**
 * Opens the feed that a record tells of.
 * @param resume - It takes over from a feed of an earlier process.
 * @throws NodeError `TM_FEED_LISTEN`.
 */
export function openFeedOf(
  { feed, rdbVersion, commands }: RestoreRecord,
  { feeder }: PreparedPlan,
  { client }: OpenTarget,
  resume: boolean,
): Promise<RunningFeed> {
  const { listenHost, port, user, password, replicationId, baseOffset } = feed;
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
