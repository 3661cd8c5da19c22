import {
  adaptCommands,
  rewriteCommandExpiry,
  tapCommands,
  type CommandBatch,
  type TargetDialect,
} from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import { parseVersion } from '@tidemark/client';
import { nameObject, type ByteSource } from '@tidemark/core';
import type { DataKey } from '@tidemark/crypto';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { PlannedObject, RestorePlan } from '../plan/restore-plan.ts';
import type { SelectedRead } from '../closure/closure.ts';
import { selectedCommands } from '../closure/selected-commands.ts';
import { newExpiry } from '../plan/ttl-rule.ts';
import { readObjectMarks } from '../plan/read-marks.ts';
import { adaptPayloadFor } from './adapt-payload.ts';
import { readAhead } from './read-ahead.ts';
import { RunTimes } from './run-times.ts';

/** At most twice these bytes are held: one segment of the usual size may come on top. */
const READ_AHEAD = { items: 4, bytes: 8 * 1024 * 1024 };

/** Redis keeps 46 bits of the expiry of a field (redis src/server.h, HFE_MAX_ABS_TIME_MSEC). */
const REDIS_FIELD_EXPIRY_MAX = 2 ** 46 - 1;

/** Redis 7.0. */
const ABSOLUTE_TIMES_FROM = 7_00_00;

/** In which form the commands of a plan are fed: kept with the restore, so that it can go on. */
export interface CommandForm {
  /** What the target understands. */
  readonly target: TargetDialect;
  /**
   * Redis 7.4 and newer ignores HPERSIST on a field whose time has passed, also as a replica; a far
   * expiry is then sent before each of them.
   */
  readonly guardFieldPersist: boolean;
}

/** Who looks on while commands are fed, and is asked. */
export interface CommandWatch {
  /** Sees every command as the log has it, before it is fed. */
  readonly onBatch?: (batch: CommandBatch) => void;
  /** Told the name of each command that is fed in another form, or not at all. */
  readonly onChange?: (name: string) => void;
  /** Of a selection: sees every command that is read, also those that are not fed. */
  readonly onRead?: (batch: CommandBatch) => void;
  /** Whether the target runs a command that is in no table. Default: it does. */
  readonly knowsCommand?: (name: string) => Promise<boolean>;
}

/**
 * The command stream of a plan from its snapshot to its cut, as it is fed: the same bytes every
 * time.
 *
 * It begins with a SELECT of the database that is selected at the snapshot, so that the target
 * does not depend on what it had selected.
 * @throws PlanError `TM_TARGET_COMMAND`, `TM_TARGET_DATABASES` for a command that the target cannot
 *   run, before it is fed; `context.offset` is its place in the timeline.
 */
export async function* commandSource(
  plan: RestorePlan,
  reader: ObjectReader,
  form: CommandForm,
  watch: CommandWatch = {},
): ByteSource {
  const { target, guardFieldPersist } = form;
  const version = versionOf(plan.source);
  const times = hasRelativeTimes(plan) ? new RunTimes() : null;
  const log = logOf(plan, reader, times, watch.onRead);
  const adapted = adaptCommands(log.source, {
    target,
    ...(version === null
      ? {}
      : { writer: { product: plan.source.product, versionNumber: version } }),
    // Else every payload is one that the target reads, and need not be held until it is whole.
    ...(isForeign(plan, form) || plan.ttl.mode !== 'absolute'
      ? { adaptPayload: adaptPayloadFor(target, plan.ttl) }
      : {}),
    ...(times === null ? {} : { ranAt: (offset: bigint) => times.at(offset) }),
    offset: log.offset,
    sourceOffset: log.sourceOffset,
    ...watch,
  });
  if (plan.ttl.mode === 'absolute' && !guardFieldPersist) yield* adapted;
  else {
    yield* rewriteCommandExpiry(adapted, {
      newExpiry: (expiryMs) => newExpiry(plan.ttl, expiryMs),
      // A rule may give what was dead and what was alive times in another order.
      dropConditions: plan.ttl.mode !== 'absolute',
      logsUnmetFields: plan.source.product === 'valkey',
      ...(target.product === 'redis' ? { fieldExpiryMax: REDIS_FIELD_EXPIRY_MAX } : {}),
      guardFieldPersist,
    });
  }
}

/** Whether the target is of another product than the source, or older: it may lack what that wrote. */
export function isForeign({ source }: RestorePlan, { target }: CommandForm): boolean {
  const version = versionOf(source);
  return source.product !== target.product || version === null || target.versionNumber < version;
}

/** Redis logs times as such from 7.0 on; before, RESTORE has what is left of a life. */
function hasRelativeTimes({ source }: RestorePlan): boolean {
  return source.product === 'redis' && (versionOf(source) ?? 0) < ABSOLUTE_TIMES_FROM;
}

/** Null for a timeline that was opened while the server was down: it says "unknown". */
function versionOf({ version }: RestorePlan['source']): number | null {
  return /^\d/.test(version) ? parseVersion(version) : null;
}

/** Shows every command of a plan and feeds none. */
export async function watchCommands(
  plan: RestorePlan,
  reader: ObjectReader,
  onBatch: (batch: CommandBatch) => void,
): Promise<void> {
  const iterator = tapCommands(logOf(plan, reader, null).source, onBatch);
  while ((await iterator.next()).done !== true);
}

function selectFirst(plan: RestorePlan): Buffer {
  const db = plan.reads[0]?.header.db.toString() ?? '';
  return Buffer.from(
    db === '' ? '' : `*2\r\n$6\r\nSELECT\r\n$${db.length.toString()}\r\n${db}\r\n`,
    'latin1',
  );
}

/** The commands of a plan before they are changed for the target. */
interface Log {
  readonly source: ByteSource;
  /** Where `source` begins, and the place in the timeline of what stands at an offset of it. */
  readonly offset: bigint;
  readonly sourceOffset: (offset: bigint) => bigint;
}

function logOf(
  plan: RestorePlan,
  reader: ObjectReader,
  times: RunTimes | null,
  onRead?: CommandWatch['onRead'],
): Log {
  const { closure, snapshot, cut } = plan;
  if (closure === null) {
    return {
      source: rawCommands(plan, reader, times),
      offset: (plan.reads[0]?.from ?? 0n) - BigInt(selectFirst(plan).length),
      sourceOffset: (offset) => offset,
    };
  }
  const range = { from: snapshot.offset, to: cut.offset };
  const selected = selectedCommands(range, {
    closure,
    reader,
    ...(onRead === undefined ? {} : { onRead }),
    ...(times === null ? {} : { onSegment: marksInOrder(times, reader) }),
  });
  return { ...selected, offset: 0n };
}

/** Adds the marks of the segments that are read, each after those of the segment before it. */
function marksInOrder(
  times: RunTimes,
  reader: ObjectReader,
): (read: Pick<SelectedRead, 'object' | 'before'>) => Promise<void> {
  let last: PlannedObject | null = null;
  return async ({ object, before }) => {
    const missing =
      last === object ? [] : before === null || before === last ? [object] : [before, object];
    for (const one of missing) times.add(await marksOf(one, reader));
    last = object;
  };
}

function marksOf(object: PlannedObject, reader: ObjectReader): ReturnType<typeof readObjectMarks> {
  const keyOf = (): Promise<DataKey> => Promise.resolve(reader.dataKeyOf(object));
  return readObjectMarks(object, { reader, keyOf });
}

/** @param times - Takes the marks of each segment before its commands come; null = not needed. */
async function* rawCommands(
  plan: RestorePlan,
  reader: ObjectReader,
  times: RunTimes | null,
): ByteSource {
  if (plan.reads.length === 0) return;
  yield selectFirst(plan);
  const ahead = readAhead(
    plan.reads.map(({ object }) => ({
      bytes: object.ref.size,
      read: () => reader.opened(object),
    })),
    READ_AHEAD,
  );
  let at = 0;
  for await (const payload of ahead) {
    const read = plan.reads[at++];
    if (read === undefined) return;
    if (times !== null) times.add(await marksOf(read.object, reader));
    try {
      yield* segmentCommands(payload, read.header, { from: read.from, to: read.to });
    } catch (cause) {
      throw nameObject(cause, reader.nameOf(read.object));
    }
  }
}

/** A stream without its first `count` bytes: what a target that has them still needs. */
export async function* skipBytes(source: ByteSource, count: bigint): ByteSource {
  let rest = count;
  for await (const part of source) {
    if (rest >= BigInt(part.length)) {
      rest -= BigInt(part.length);
      continue;
    }
    yield rest === 0n ? part : part.subarray(Number(rest));
    rest = 0n;
  }
}
