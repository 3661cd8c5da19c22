import { probeAofDir, removeAofPins } from '@tidemark/aof';

/**
 * Removes the pins beside the AOF folder of an instance that is captured no more. Nobody bounds those that
 * are left behind: they would keep old files on the disk of the node.
 */
export async function releasePins(aofDir: string, writers: readonly string[]): Promise<void> {
  const { dir, manifestName } = await probeAofDir(aofDir);
  for (const pinOwner of writers) await removeAofPins({ dir, manifestName, pinOwner });
}
