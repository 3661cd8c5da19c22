import { NodeError } from '@tidemark/core';
import { Info } from './info.ts';
import type { NodeClient } from './node-client.ts';

/** Server time and stream position of one moment (design.md, "sample"). */
export interface NodeSample {
  /** Wall clock of the server, Unix microseconds (below 2^53). */
  readonly timeUs: number;
  /** Identity of the server process; changes with every start. */
  readonly runId: string;
  readonly uptimeSeconds: number;
  readonly role: 'master' | 'replica';
  /** Of a replica: whether it receives what its primary writes. */
  readonly masterLinkUp: boolean;
  readonly masterReplid: string;
  /** Bytes. */
  readonly masterReplOffset: number;
  /** Whether the server is reading its data from disk or from its master. */
  readonly loading: boolean;
  readonly aofEnabled: boolean;
  /** Bytes of base and INCR files together; 0 while the append-only file is off. */
  readonly aofCurrentSize: number;
  /** Bytes of all files when the latest rewrite or start ended; 0 while it is off. */
  readonly aofBaseSize: number;
  /** Bytes the server has yet to write to the file; 0 while it is off. */
  readonly aofBufferLength: number;
  readonly aofRewriteInProgress: boolean;
  readonly aofRewriteScheduled: boolean;
  /** Rewrites since the server started; -1 where the server does not tell (before 7.0). */
  readonly aofRewrites: number;
  /** Whether the last write to the append-only file went well. */
  readonly lastWriteOk: boolean;
}

const QUEUE: readonly (readonly string[])[] = [
  ['MULTI'],
  ['TIME'],
  ['INFO', 'persistence'],
  ['INFO', 'replication'],
  ['INFO', 'server'],
  ['EXEC'],
];

/**
 * Before 7.0 a transaction is written to the log as soon as it holds a command that is not marked as
 * reading, and INFO is not: every sample would leave an empty transaction there, with its own
 * position inside. INFO alone is one moment; TIME before and after it tells which.
 */
const OLD_QUEUE: readonly (readonly string[])[] = [['TIME'], ['INFO'], ['TIME']];
/** Servers from here on log nothing of a transaction that only reads. */
const QUIET_TRANSACTIONS = 7;
/** A second that ended between the two answers is not told: how often to ask again. */
const ATTEMPTS_MAX = 3;

/** Connections to servers before 7.0, as far as they were asked. */
const oldServers = new WeakMap<NodeClient, boolean>();

/**
 * Takes a sample in one round trip (the first on a connection takes two). The parts are one
 * transaction, so no write lies between them; see {@link OLD_QUEUE} for servers before 7.0.
 *
 * @throws NodeError `TM_NODE_RIGHTS` naming the command that the user may not run,
 *   `TM_NODE_REPLY`, `TM_NODE_UNREACHABLE`.
 */
export async function takeSample(client: NodeClient): Promise<NodeSample> {
  if (await isOld(client)) return takeOldSample(client);
  const replies = await repliesTo(client, QUEUE);
  const parts = replies.at(-1);
  if (!Array.isArray(parts) || parts.length !== QUEUE.length - 2) throw unexpected(replies.length);
  const [time, ...texts] = parts as unknown[];
  if (!Array.isArray(time) || !texts.every((text) => typeof text === 'string')) {
    throw unexpected(parts.length);
  }
  return sampleOf(time.map(Number), Info.parse(texts.join('\n')));
}

async function isOld(client: NodeClient): Promise<boolean> {
  const known = oldServers.get(client);
  if (known !== undefined) return known;
  const version = (await client.info('server')).get('redis_version') ?? '';
  const old = Number.parseInt(version, 10) < QUIET_TRANSACTIONS;
  oldServers.set(client, old);
  return old;
}

async function takeOldSample(client: NodeClient): Promise<NodeSample> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const [before, text, after] = await repliesTo(client, OLD_QUEUE);
    if (!Array.isArray(before) || !Array.isArray(after) || typeof text !== 'string') break;
    if (before[0] === after[0]) return sampleOf(after.map(Number), Info.parse(text));
  }
  throw unexpected(OLD_QUEUE.length);
}

async function repliesTo(
  client: NodeClient,
  queue: readonly (readonly string[])[],
): Promise<readonly unknown[]> {
  const replies = await client.pipeline(queue);
  for (const reply of replies) if (reply instanceof Error) throw reply;
  return replies;
}

function sampleOf([seconds = NaN, micros = NaN]: readonly number[], info: Info): NodeSample {
  const timeUs = seconds * 1e6 + micros;
  if (!Number.isSafeInteger(timeUs)) throw unexpected(2);
  return {
    timeUs,
    runId: info.get('run_id') ?? '',
    uptimeSeconds: info.number('uptime_in_seconds', 0),
    role: info.get('role') === 'master' ? 'master' : 'replica',
    masterLinkUp: info.get('master_link_status') === 'up',
    masterReplid: info.get('master_replid') ?? '',
    masterReplOffset: info.number('master_repl_offset'),
    loading: info.flag('loading') || info.flag('async_loading'),
    aofEnabled: info.flag('aof_enabled'),
    aofCurrentSize: info.number('aof_current_size', 0),
    aofBaseSize: info.number('aof_base_size', 0),
    aofBufferLength: info.number('aof_buffer_length', 0),
    aofRewriteInProgress: info.flag('aof_rewrite_in_progress'),
    aofRewriteScheduled: info.flag('aof_rewrite_scheduled'),
    aofRewrites: info.number('aof_rewrites', -1),
    lastWriteOk: info.flag('aof_last_write_status'),
  };
}

function unexpected(parts: number): NodeError {
  return new NodeError('TM_NODE_REPLY', 'a sample was not answered as expected', {
    context: { parts },
  });
}
