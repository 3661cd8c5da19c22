import { connectNode, type NodeAddress } from '@tidemark/client';
import type { HoleReason } from '@tidemark/archive';

/** What a node says of the replication history it holds. */
export interface NodeHistory {
  readonly runId: string;
  readonly role: 'master' | 'replica';
  readonly replid: string;
  /** Offset of its last byte. */
  readonly offset: bigint;
  /** The history it came from; its bytes up to `secondOffset` - 1 are the node's too. */
  readonly replid2: string;
  readonly secondOffset: bigint;
  /** First byte in its backlog; null without one. */
  readonly backlogFrom: bigint | null;
}

/** A place in a history: the last byte that is known. */
export interface HistoryPlace {
  readonly replid: string;
  readonly offset: bigint;
}

/** What a full resync means for what was captured before it. */
export interface ResyncCause {
  readonly reason: HoleReason;
  readonly detail: string;
}

/** @throws NodeError as `connectNode`; `TM_NODE_RIGHTS`. */
export async function readHistory(address: NodeAddress, signal: AbortSignal): Promise<NodeHistory> {
  await using client = await connectNode(address, {
    timeoutMs: 10_000,
    name: 'tidemark-psync',
    signal,
  });
  const info = await client.info('server', 'replication');
  const active = info.number('repl_backlog_active', 0) === 1;
  return {
    runId: info.get('run_id') ?? '',
    role: info.get('role') === 'master' ? 'master' : 'replica',
    replid: info.get('master_replid') ?? '',
    offset: BigInt(info.number('master_repl_offset', 0)),
    replid2: info.get('master_replid2') ?? '',
    secondOffset: BigInt(info.number('second_repl_offset', -1)),
    backlogFrom: active ? BigInt(info.number('repl_backlog_first_byte_offset', 0)) : null,
  };
}

/**
 * Whether the node will go on behind a place.
 * @see redis src/replication.c, `masterTryPartialResynchronization`
 */
export function goesOnBehind({ replid, offset }: HistoryPlace, node: NodeHistory): boolean {
  const next = offset + 1n;
  const known = replid === node.replid || (replid === node.replid2 && next <= node.secondOffset);
  const { backlogFrom } = node;
  return known && backlogFrom !== null && next >= backlogFrom && next <= node.offset + 1n;
}

/**
 * Whether a node is a replica of this history that has not received yet what was captured from
 * another one: asked now it would give a full resync, a little later it goes on.
 */
export function lagsBehind({ replid, offset }: HistoryPlace, node: NodeHistory): boolean {
  return node.role === 'replica' && node.replid === replid && node.offset < offset;
}

/**
 * Why a node gave a full resync to who asked to go on.
 * @param asked - Where it was to go on; null when nobody knew any more.
 * @param given - Where its snapshot stands.
 * @param past - `runId`: of the process that the link last followed; `wasFull`: it was broken off
 *   since the spool had no room.
 */
export function causeOfResync(
  asked: HistoryPlace | null,
  given: HistoryPlace,
  node: NodeHistory,
  past: { readonly runId: string | null; readonly wasFull: boolean },
): ResyncCause {
  const cause = (reason: HoleReason, detail: string): ResyncCause => ({ reason, detail });
  if (asked === null) return cause('capture-down', 'nobody knew where to go on');
  const at = asked.offset.toString();
  if (given.replid !== asked.replid && cannotTell(asked, node)) {
    const since = node.secondOffset.toString();
    const detail = `a replica that was behind when its primary changed goes on behind no offset from ${since} on, and ${at} was reached`;
    return cause(past.wasFull ? 'spool-full' : 'backlog-overrun', detail);
  }
  if (
    given.replid === asked.replid
      ? given.offset < asked.offset
      : !isSameHistory(asked, node, past.runId)
  ) {
    const detail = `the node does not hold what was captured up to ${at} of ${asked.replid}`;
    return cause('divergent-tail', detail);
  }
  const gap = `between the offsets ${at} and ${given.offset.toString()}`;
  return past.wasFull
    ? cause('spool-full', `the wire spool had no room ${gap}`)
    : cause('backlog-overrun', `the backlog of the node did not reach back ${gap}`);
}

function isSameHistory(asked: HistoryPlace, node: NodeHistory, runId: string | null): boolean {
  if (asked.replid === node.replid2) return asked.offset < node.secondOffset;
  // A primary without replicas frees its backlog after a while, and begins a new history with it: one
  // that came from no other (redis src/replication.c, `replicationCron`). A process that was a replica
  // meanwhile took another one over.
  const isOwn = node.role === 'master' && !/[^0]/.test(node.replid2);
  return isOwn && node.runId !== '' && node.runId === runId;
}

/**
 * Whether a node is a replica that came over from the history of a place before it had that place. It
 * may have received those bytes since, from the new primary; what it says of itself leaves that open.
 */
function cannotTell({ replid, offset }: HistoryPlace, node: NodeHistory): boolean {
  return node.role === 'replica' && node.replid2 === replid && offset >= node.secondOffset;
}
