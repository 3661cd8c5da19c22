import {
  checkRights,
  commandName,
  readNodeFacts,
  type NodeClient,
  type NodeFacts,
} from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import type { SwitchedSettings } from '@tidemark/workspace';

const TIMESTAMPS = 'aof-timestamp-enabled';
const HOLD = 'aof-disable-auto-gc';
const OLDEST_VERSION = 60_000;

/**
 * Checks that a node can be captured by its append-only files.
 * @throws NodeError `TM_NODE_VERSION`, `TM_NODE_RIGHTS`, `TM_AOF_OFF`.
 */
export async function checkAofNode(client: NodeClient): Promise<NodeFacts> {
  const facts = await readNodeFacts(client);
  if (facts.versionNumber < OLDEST_VERSION) {
    throw new NodeError('TM_NODE_VERSION', `${facts.product} ${facts.version} is too old`, {
      hint: 'capture of the append-only file needs Redis 6.0 or newer, or Valkey',
    });
  }
  // MULTI and EXEC: a sample is one transaction.
  const missing = await checkRights(client, [
    ['INFO'],
    ['CONFIG', 'GET', 'appendonly'],
    ['TIME'],
    ['MULTI'],
    ['EXEC'],
  ]);
  if (missing.length > 0) {
    throw new NodeError(
      'TM_NODE_RIGHTS',
      `the user may not run ${missing.map(commandName).join(', ')}`,
      {
        hint: 'the rule for a user that captures stands in docs/acl.md: ACL SETUSER capture …',
      },
    );
  }
  if (facts.config?.['appendonly'] !== 'yes') {
    throw new NodeError('TM_AOF_OFF', 'the append-only file of this node is off', {
      hint: 'switch it on: redis-cli CONFIG SET appendonly yes (and CONFIG REWRITE to keep it so)',
    });
  }
  return facts;
}

/** Whether the seconds of an append-only file are in it. */
export type Timestamps = 'on' | 'switched-on' | 'off';

/**
 * Has the node write the time into its log, where that was consented to.
 * @param warn - Told why seconds are known less closely.
 */
export async function switchTimestamps(
  client: NodeClient,
  consent: boolean,
  settings: SwitchedSettings,
  warn: (message: string) => void,
): Promise<Timestamps> {
  const config = await client.configGet(TIMESTAMPS);
  if (!(TIMESTAMPS in config)) {
    warn(
      `this server has no ${TIMESTAMPS} (7.0 has it): seconds are known only as closely as samples are taken (200 ms)`,
    );
    return 'off';
  }
  if (config[TIMESTAMPS] === 'yes') return 'on';
  if (consent) {
    await settings.switch(client, TIMESTAMPS, 'yes', 'no');
    return 'switched-on';
  }
  warn(
    `${TIMESTAMPS} is off: seconds are then known only as closely as samples are taken (200 ms). ` +
      'Switch it on with --yes (API: switchTimestamps), or on the node with CONFIG SET; servers older than 7.0 cannot load such a log',
  );
  return 'off';
}

/** The consent is the wish itself; the archiver lets the files go once they are archived. */
export async function switchHold(client: NodeClient, settings: SwitchedSettings): Promise<void> {
  const before = (await client.configGet(HOLD))[HOLD];
  if (before === undefined) {
    throw new NodeError('TM_NODE_VERSION', `this server has no ${HOLD} (7.0 has it)`, {
      hint: 'add the instance without hold',
    });
  }
  await settings.switch(client, HOLD, 'yes', before);
}

/** Without an RDB in it a rewrite brings no snapshot. */
export async function warnOfCommandBases(
  client: NodeClient,
  warn: (message: string) => void,
): Promise<void> {
  const config = await client.configGet('aof-use-rdb-preamble');
  if (config['aof-use-rdb-preamble'] !== 'no') return;
  warn(
    'aof-use-rdb-preamble is off: a rewrite brings no snapshot, and a restore replays everything ' +
      'since the capture began. Better: CONFIG SET aof-use-rdb-preamble yes',
  );
}
