import { readFile, rm } from 'node:fs/promises';
import type { WriterOwner } from '@tidemark/catalog';
import { replaceFile } from '@tidemark/system';
import type { Spool } from './spool.ts';

/** A spool and the claim that it is opened under. */
export interface ClaimedSpool {
  /** Folder of the spool; what is known of its last claim lies beside it. */
  readonly dir: string;
  readonly spool: Spool;
  readonly ownerId: string;
  /** Who owned the log before this claim. */
  readonly before: WriterOwner | null;
  /** Number of this claim. */
  readonly generation: number;
}

/**
 * Empties a spool, with its copies of segments, when another archiver owned the log since it was
 * written. That one may have followed the node past a failover: what lies here could be of the branch
 * that lost, although its offsets go on where the log ends. Nothing is lost by it: the source gives
 * all behind the durable offset again, from what it holds on this host or from the node.
 *
 * The number of the claim is noted only when the spool is empty, so that a kill in between changes
 * nothing.
 * @returns How many entries were dropped.
 */
export async function dropForeign(claimed: ClaimedSpool): Promise<number> {
  const { dir, spool, ownerId, before, generation } = claimed;
  const path = `${dir}.claim`;
  const noted = await readNote(path);
  const isOurs =
    noted === null ? before === null || before.ownerId === ownerId : noted === generation - 1;
  const names = isOurs ? [] : await spool.names();
  for (const name of names) await spool.remove(name);
  if (!isOurs) await rm(`${dir}.copies`, { recursive: true, force: true });
  await replaceFile(path, `${generation.toString()}\n`, { durable: 'content' });
  return names.length;
}

/** @returns Null when there is none, or none that can be read. */
async function readNote(path: string): Promise<number | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return /^\d{1,15}\n$/.test(text) ? Number(text) : null;
}
