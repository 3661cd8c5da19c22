import { KEY_EFFECT, visitKeys, type CommandBatch } from '@tidemark/aof';
import { unpackSnapshot } from '@tidemark/archive';
import { nameObject } from '@tidemark/core';
import { isEntry, RdbScanner } from '@tidemark/rdb';
import { needsEntry, type Closure } from '../closure/closure.ts';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { watchCommands } from './command-source.ts';

/** A plan, and what reads its objects. */
interface ReadablePlan {
  readonly plan: RestorePlan;
  readonly reader: ObjectReader;
}

/**
 * Whether anything that a plan feeds may make a key. When not, a target need not be touched: a full
 * synchronization would empty it for nothing.
 * @throws FormatError, IntegrityError or StoreError for damage, as a restore would.
 */
export async function mayGiveKeys({ plan, reader }: ReadablePlan): Promise<boolean> {
  const { closure } = plan;
  if (closure === null || closure.everything !== null) return true;
  let commands = 0;
  await watchCommands(plan, reader, (batch) => {
    commands += commandsWithKeys(batch);
  });
  if (commands > 0) return true;
  return !closure.startsEmpty && hasNeededEntry(closure, { plan, reader });
}

async function hasNeededEntry(closure: Closure, { plan, reader }: ReadablePlan): Promise<boolean> {
  let entries = 0;
  const scanner = new RdbScanner((batch) => {
    for (let row = 0; row < batch.count; row++) {
      if (!isEntry(batch.type[row] as number)) continue;
      if (needsEntry(closure, batch.db[row] as number, batch.keyOf(row))) entries += 1;
    }
  });
  try {
    for await (const part of unpackSnapshot(reader.opened(plan.snapshotObject))) {
      scanner.push(part);
      if (entries > 0) return true;
    }
    scanner.end();
  } catch (cause) {
    throw nameObject(cause, reader.nameOf(plan.snapshotObject));
  }
  return entries > 0;
}

const NO_KEYS: ReadonlySet<number> = new Set([
  KEY_EFFECT.none,
  KEY_EFFECT.flushDb,
  KEY_EFFECT.flushAll,
  KEY_EFFECT.swapDb,
]);

/** Commands of a batch that have keys, or may. */
function commandsWithKeys(batch: CommandBatch): number {
  let found = 0;
  for (let row = 0; row < batch.count; row++) {
    if (!NO_KEYS.has(visitKeys(batch, row, () => undefined))) found += 1;
  }
  return found;
}
