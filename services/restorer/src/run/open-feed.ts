import type { Clock, Random } from '@tidemark/core';
import { openFeedTls } from '../feed-tls/open-feed-tls.ts';
import {
  clearEnds,
  refuseClearTransport,
  tdeOf,
  type TdeEnvironment,
} from '../tde/instance-tde.ts';
import type { RunningFeed } from '../feeder/feeder.ts';
import { knowsCommand, parseTargetRecord } from '../target/index.ts';
import type { OpenTarget } from './open-target.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import type { RestoreRecord } from './restore-record.ts';

/** What it takes to open a feed. */
export interface OpenFeedEnvironment extends TdeEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  /** It takes over from a feed of an earlier process. Default false. */
  readonly resume?: boolean;
}

/**
 * Opens the feed that a record tells of. Of an instance with TDE it goes over TLS with the target's
 * certificate pinned, or over the loopback; and so does the connection that steers the target.
 * @throws NodeError `TM_FEED_LISTEN`; UsageError `TM_TLS_SETTINGS`; TidemarkError `TM_TDE_DENIED`; as
 *   `tdeOf`.
 */
export async function openFeedOf(
  record: RestoreRecord,
  { feeder }: PreparedPlan,
  { client }: OpenTarget,
  environment: OpenFeedEnvironment,
): Promise<RunningFeed> {
  const { id, instance, feed, rdbVersion, commands } = record;
  const { listenHost, port, user, password, replicationId, baseOffset } = feed;
  const clear = [
    // Names of keys go this way.
    ...clearEnds(client),
    ...(feed.tls === undefined ? [listenHost, feed.host, client.remoteAddress] : []),
  ];
  refuseClearTransport(await tdeOf(instance, environment), clear);
  const { resume = false, clock, random } = environment;
  const names = parseTargetRecord(record.settings).settings.map(({ name }) => name);
  const showsMinted = names.includes('tls-client-cert-file');
  const addresses = [feed.host, client.localAddress];
  return feeder.feed(
    {
      ...{ listenHost, port, user, password, replicationId, resume, rdbVersion },
      allowFrom: client.remoteAddress,
      baseOffset: BigInt(baseOffset),
      form: commands,
      tls:
        feed.tls === undefined
          ? null
          : await openFeedTls(feed.tls, { id, addresses, showsMinted, clock, random }),
    },
    (name) => knowsCommand(client, name),
  );
}
