import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { digestOfCode, type ExpectedFunctions } from '../feed/function-tally.ts';

/**
 * Checks that a target holds the functions that the snapshot and the log have left.
 * @throws NodeError `TM_TARGET_REPLAY` with how many differ.
 */
export async function checkFunctions(
  client: NodeClient,
  expected: ExpectedFunctions,
): Promise<void> {
  const reply = await listFunctions(client);
  if (!Array.isArray(reply)) return;
  const found = new Map((reply as readonly unknown[]).map(libraryOf));
  let differing = 0;
  for (const [name, digest] of expected.loaded) {
    if (found.get(name) !== digest) differing += 1;
    found.delete(name);
  }
  for (const name of expected.deleted) if (found.has(name)) differing += 1;
  const others = found.size;
  const { othersMin, othersMax } = expected;
  if (differing === 0 && others >= othersMin && others <= othersMax) return;
  throw new NodeError('TM_TARGET_REPLAY', 'the target holds other functions than the source had', {
    context: { differing, others, othersMin, othersMax },
    hint: 'did somebody load functions on it meanwhile',
  });
}

/** Code need not be text. Null before 7.0, where there are no functions. */
async function listFunctions(client: NodeClient): Promise<unknown> {
  try {
    return await client.callBuffer('FUNCTION', 'LIST', 'WITHCODE');
  } catch (error) {
    const reply = error instanceof NodeError ? String(error.context.reply) : '';
    if (/unknown command/i.test(reply)) return null;
    throw error;
  }
}

/** Name and digest of one library of FUNCTION LIST, which is a flat list of names and values. */
function libraryOf(library: unknown): [name: string, digest: string] {
  const list = Array.isArray(library) ? (library as readonly unknown[]) : [];
  const valueOf = (name: string): Buffer => {
    const at = list.findIndex((item) => Buffer.isBuffer(item) && item.toString() === name);
    const value = list[at + 1];
    return at >= 0 && Buffer.isBuffer(value) ? value : Buffer.alloc(0);
  };
  return [valueOf('library_name').toString(), digestOfCode(valueOf('library_code'))];
}
