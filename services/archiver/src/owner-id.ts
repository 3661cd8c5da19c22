import { readFile } from 'node:fs/promises';
import { isSafeName, makeId, type Clock, type Random } from '@tidemark/core';
import { replaceFile } from '@tidemark/system';

/** The id of a spool as owner of logs: made once and kept in a file. */
export async function readOwnerId(
  path: string,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<string> {
  const known = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return '';
    throw cause;
  });
  const id = known.trim();
  if (isSafeName(id)) return id;
  // None yet, or one that a crash left torn: then the logs are free after three heartbeats.
  const fresh = makeId(clock.nowMs(), random);
  await replaceFile(path, `${fresh}\n`, { durable: 'content' });
  return fresh;
}
