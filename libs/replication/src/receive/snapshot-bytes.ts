import { EofFraming } from './eof-framing.ts';
import { brokenLink, foreignPeer, replyError } from './errors.ts';
import type { LinkSocket } from './link-socket.ts';

/** How the end of the RDB is known: a length, or a mark of 40 bytes. */
export type SnapshotFrame =
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'mark'; readonly mark: Buffer };

/**
 * Waits for the line before the RDB.
 * @throws NodeError `TM_REPLICATION` when the node cannot make one, `TM_REPLICATION_PEER`.
 */
export async function readFrame(socket: LinkSocket, node: string): Promise<SnapshotFrame> {
  const line = await socket.readLine();
  const place = { node, phase: 'snapshot' } as const;
  const length = /^\$([0-9]{1,15})$/.exec(line)?.[1];
  if (length !== undefined) return { kind: 'length', bytes: Number(length) };
  const mark = /^\$EOF:([!-~]{40})$/.exec(line)?.[1];
  if (mark !== undefined) return { kind: 'mark', mark: Buffer.from(mark, 'latin1') };
  if (line.startsWith('-')) throw replyError(line.slice(1), 'PSYNC', place);
  throw foreignPeer(place, 'the line before the snapshot', line);
}

/** The bytes of an RDB; what came behind it stays in the socket. @throws NodeError. */
export async function* snapshotBytes(
  socket: LinkSocket,
  frame: SnapshotFrame,
): AsyncGenerator<Buffer, void, undefined> {
  if (frame.kind === 'length') {
    for (let left = frame.bytes; left > 0;) {
      const chunk = await socket.read();
      const data = chunk.length <= left ? chunk : chunk.subarray(0, left);
      socket.unread(chunk.subarray(data.length));
      left -= data.length;
      yield data;
    }
    return;
  }
  const framing = new EofFraming(frame.mark);
  for (;;) {
    const { data, rest } = framing.push(await socket.read());
    if (rest !== null) socket.unread(rest);
    if (data.length > 0) yield data;
    if (rest !== null) return;
  }
}

/** Rejects when the RDB does not begin in time, although the node gives signs of life. */
export function lateSnapshot(node: string, waitMs: number): Error {
  return brokenLink({ node, phase: 'snapshot' }, `no snapshot within ${waitMs} ms`);
}
