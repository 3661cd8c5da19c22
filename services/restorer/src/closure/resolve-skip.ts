import { CommandDecoder, SPEC_EXEC, SPEC_MULTI, type CommandBatch } from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import { nameObject, PlanError } from '@tidemark/core';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import type { SkipRange } from './skip-range.ts';

/**
 * The commands that are to be left out, checked: one begins at each end of the range. A transaction
 * that is named by its MULTI goes as a whole.
 * @throws PlanError `TM_OFFSET_NO_COMMAND` for an offset that is not between snapshot and cut, or at
 *   which no command begins.
 */
export async function resolveSkip(
  plan: RestorePlan,
  { from, to }: SkipRange,
  reader: ObjectReader,
): Promise<SkipRange> {
  const last = await endOfCommandAt(plan, from, reader);
  if (to < from) throw noCommand(plan, to, null, null);
  return { from, to: to === from ? last : await endOfCommandAt(plan, to, reader) };
}

/**
 * Looks for the command that begins at an offset.
 * @returns The offset; for MULTI that of its EXEC.
 */
async function endOfCommandAt(
  plan: RestorePlan,
  offset: bigint,
  reader: ObjectReader,
): Promise<bigint> {
  const { reads } = plan;
  let first = reads.findLastIndex(({ from }) => from <= offset);
  while (first > 0 && reads[first]?.header.partialBytes !== 0) first -= 1;
  const start = reads[first];
  if (start === undefined || offset >= plan.cut.offset) throw noCommand(plan, offset, null, null);
  const search = new CommandSearch(offset);
  const decoder = new CommandDecoder({
    offset: start.from,
    db: start.header.db,
    annotations: false,
  });
  for (const { object, header, from, to } of reads.slice(first)) {
    try {
      for await (const part of segmentCommands(reader.opened(object), header, { from, to })) {
        const bytes = Buffer.from(part.buffer, part.byteOffset, part.length);
        for (const batch of decoder.push(bytes)) search.take(batch);
        if (search.end !== null) return search.end;
        if (search.missed) throw noCommand(plan, offset, search.before, search.after);
      }
    } catch (cause) {
      if (cause instanceof PlanError) throw cause;
      throw nameObject(cause, reader.nameOf(object));
    }
  }
  throw noCommand(plan, offset, search.before, search.after);
}

/** Looks for the command that begins at an offset, and those around it. */
class CommandSearch {
  end: bigint | null = null;
  before: bigint | null = null;
  after: bigint | null = null;
  readonly #offset: bigint;
  #inMulti = false;

  constructor(offset: bigint) {
    this.#offset = offset;
  }

  get missed(): boolean {
    return this.after !== null && !this.#inMulti;
  }

  take(batch: CommandBatch): void {
    for (let row = 0; row < batch.count && this.end === null; row += 1) {
      const at = batch.base + BigInt(batch.start[row] as number);
      const spec = batch.spec[row] as number;
      if (at < this.#offset) this.before = at;
      if (at > this.#offset) this.after ??= at;
      if (this.#inMulti && spec === SPEC_EXEC) this.end = at;
      if (at !== this.#offset) continue;
      if (spec === SPEC_MULTI) this.#inMulti = true;
      else this.end = at;
    }
  }
}

function noCommand(
  { snapshot, cut }: RestorePlan,
  offset: bigint,
  before: bigint | null,
  after: bigint | null,
): PlanError {
  const nearest = [before, after].filter((at) => at !== null).map(String);
  return new PlanError('TM_OFFSET_NO_COMMAND', `no command starts at offset ${String(offset)}`, {
    context: { offset, nearestBefore: before, nearestAfter: after },
    hint:
      nearest.length === 0
        ? `what is replayed begins at ${String(snapshot.offset)} and ends before ${String(cut.offset)}`
        : `the nearest start at ${nearest.join(' and ')}; tidemark find tells where a command stands`,
  });
}
