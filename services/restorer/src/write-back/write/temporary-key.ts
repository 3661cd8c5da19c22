import type { Argument } from '@tidemark/client';
import { NodeError, TidemarkError, type Random } from '@tidemark/core';
import type { Side } from '../compare/side.ts';
import type { ValuePiece } from '../value/read-pieces.ts';
import { nameInSlot, slotOf } from './cluster-slot.ts';
import { throwIfStopped } from './exec-batch.ts';

/** A process that was killed leaves the key for no longer; refreshed with every piece. */
const LIFE_MS = 300_000;
/** Commands and bytes of one write. */
const GROUP_COMMANDS = 64;
const GROUP_BYTES = 1024 * 1024;

/** Where a value is built. */
export interface TemporaryPlace {
  readonly side: Side;
  readonly db: number;
  /** The key that the value is for: in a cluster the name falls into its slot. */
  readonly key: Buffer;
  readonly cluster: boolean;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/**
 * Builds a value under a name that nobody else uses, with a short life; the caller renames it.
 * When building fails, or is called off, the key is removed.
 * @returns Its name.
 * @throws NodeError for a piece that the server refuses; what ends all writing (`throwIfStopped`).
 */
export async function buildTemporary(
  place: TemporaryPlace,
  pieces: AsyncIterable<ValuePiece>,
): Promise<Buffer> {
  const name = nameOf(place);
  try {
    let group: ValuePiece[] = [];
    let bytes = 0;
    let begun = false;
    for await (const piece of pieces) {
      group.push(piece);
      bytes += piece.args.reduce((sum, arg) => sum + arg.length, 0);
      if (bytes < GROUP_BYTES && group.length < GROUP_COMMANDS) continue;
      await send(place, name, group, begun);
      [group, bytes, begun] = [[], 0, true];
    }
    if (group.length > 0) await send(place, name, group, begun);
    return name;
  } catch (cause) {
    await removeTemporary(place, name);
    throw cause;
  }
}

/**
 * Watches the key once more before it is renamed.
 * @returns False when it is gone.
 */
export async function holdTemporary(side: Side, db: number, name: Buffer): Promise<boolean> {
  const replies = await side.askAll(db, [
    ['PEXPIRE', name, LIFE_MS],
    ['WATCH', name],
    ['EXISTS', name],
  ]);
  return replies[0] === 1 && replies[2] === 1;
}

/** Removes the key; where the connection is gone its life ends by itself. */
export async function removeTemporary({ side, db }: TemporaryPlace, name: Buffer): Promise<void> {
  try {
    // Not through the throttle: it may have been called off.
    await side.client.pipelineBuffer([
      ['SELECT', db],
      ['UNLINK', name],
    ]);
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
  }
}

async function send(
  { side, db, signal }: TemporaryPlace,
  name: Buffer,
  pieces: readonly ValuePiece[],
  begun: boolean,
): Promise<void> {
  signal.throwIfAborted();
  const life: readonly Argument[] = ['PEXPIRE', name, LIFE_MS];
  const commands = pieces.map(({ command, args }): readonly Argument[] => [
    ...command.split(' '),
    name,
    ...args,
  ]);
  const bytes = pieces.reduce(
    (sum, { args }) => args.reduce((more, arg) => more + arg.length, sum),
    0,
  );
  const replies = await side.tryAll(db, [...(begun ? [life] : []), ...commands, life], bytes);
  for (const reply of replies) {
    if (!(reply instanceof NodeError)) continue;
    throwIfStopped(reply);
    throw reply;
  }
  // Its life may have ended on the way (a very low rate limit), or it was evicted.
  if ((begun && replies[0] !== 1) || replies.at(-1) !== 1) {
    throw new NodeError('TM_NODE_REPLY', 'a value that was being built has vanished', {
      context: { db },
    });
  }
}

function nameOf({ key, cluster, random }: TemporaryPlace): Buffer {
  const prefix = `tidemark:building:${random.bytes(16).toString('hex')}`;
  return cluster ? nameInSlot(`${prefix}:`, slotOf(key)) : Buffer.from(prefix);
}
