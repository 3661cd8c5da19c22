import type { UndoItem, UndoKey } from '@tidemark/archive';
import type { Argument } from '@tidemark/client';
import { NodeError, PlanError, type Random } from '@tidemark/core';
import type { Side } from '../compare/side.ts';
import type { Throttle } from '../throttle/throttle.ts';
import type { UndoPackWriter } from '../undo/undo-pack-writer.ts';
import { contentDigest } from '../value/content-digest.ts';
import { readPieces } from '../value/read-pieces.ts';
import { execBatch, throwIfStopped, type ExecOutcome } from './exec-batch.ts';
import { isLarge, serverTimeMs, watchAndRead } from './read-present.ts';
import {
  buildTemporary,
  holdTemporary,
  removeTemporary,
  type TemporaryPlace,
} from './temporary-key.ts';
import type { ConflictPolicy, Present, WriteTask } from './write-task.ts';
import { nameKey, type WriteTally } from './write-tally.ts';

/** How often a key is tried again that somebody writes to at the same moment. */
const ATTEMPTS = 3;
const NOTHING = Buffer.alloc(32);

/** What keys are written with. */
export interface KeyWriterOptions {
  /** A connection of its own: what it watches nobody else may touch. */
  readonly side: Side;
  readonly undo: UndoPackWriter;
  readonly throttle: Throttle;
  readonly policy: ConflictPolicy;
  readonly cluster: boolean;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly tally: WriteTally;
}

/** A task whose key was looked at, and is to be written. */
interface Ready {
  readonly task: WriteTask;
  readonly present: Present | null;
}

/**
 * Writes keys into a server that serves.
 *
 * Each key is watched, read and held against what was seen before; what it holds is in the undo pack,
 * durably, before the transaction that overwrites it. Whoever writes to a key in between makes the
 * transaction fail, and the key is tried again alone.
 */
export class KeyWriter {
  readonly #options: KeyWriterOptions;
  /** Keys that the undo pack holds though they were not written in the end. */
  readonly #void: UndoKey[] = [];

  constructor(options: KeyWriterOptions) {
    this.#options = options;
  }

  /**
   * Writes some keys of one database (in a cluster: of one slot), bounded by the caller.
   * @throws PlanError `TM_WRITE_CONFLICT`, and what ends all writing; NodeError; StoreError. What was
   *   written until then stands in the tally.
   */
  async write(tasks: readonly WriteTask[]): Promise<void> {
    const small = tasks.filter((task) => !isLargeTask(task));
    let touched = small.length > 0 ? await this.#attempt(small, false) : [];
    // Who has changed shows at the next look: the rest mostly goes through together.
    for (let attempt = 2; attempt <= ATTEMPTS && touched.length > 1; attempt++) {
      touched = await this.#attempt(
        touched.map((task) => ({ ...task, again: true })),
        true,
      );
    }
    for (const task of touched) await this.#alone(task, true);
    for (const task of tasks) if (isLargeTask(task)) await this.#alone(task, false);
  }

  /**
   * Tells what `write` would do, in the tally; nothing is written.
   * @throws NodeError.
   */
  async judge(tasks: readonly WriteTask[]): Promise<void> {
    const { side, tally } = this.#options;
    const nowMs = await serverTimeMs(side);
    for (const { task, present } of await this.#look(tasks, false)) {
      const reading = largeReading(side, task, present);
      if (reading !== null) {
        const pieces = reading.pieces();
        while ((await pieces.next()).done !== true);
        if (!this.#mayWrite(task, withDigest(present, reading.digest()))) continue;
      }
      if (task.want === null || isPast(task, nowMs)) this.#gone(task);
      else tally.restored(task.db, task.key, task.want.bytes);
    }
    await side.client.call('UNWATCH');
    this.#void.length = 0;
  }

  /** Tells the undo pack what was not written after all. To be called at the end, failed or not. */
  async settle(): Promise<void> {
    if (this.#void.length === 0) return;
    const items = this.#void.splice(0);
    await this.#options.undo.write(items.length, items, null);
  }

  /** @param tried - Whether this run has put the key into the undo pack before. */
  async #alone(task: WriteTask, tried: boolean): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const packed = tried || attempt > 1;
      const one = { ...task, again: task.again || packed };
      const over = isLargeTask(one)
        ? (await this.#large(one, packed)) === 'over'
        : (await this.#attempt([one], packed)).length === 0;
      if (over) return;
    }
    this.#leave(task, 'somebody keeps writing to it');
    this.#void.push(voidItem(task));
  }

  /** One transaction over small values. @returns The tasks that are to be tried one by one. */
  async #attempt(tasks: readonly WriteTask[], packed: boolean): Promise<readonly WriteTask[]> {
    const { side, undo, throttle, tally } = this.#options;
    const ready = await this.#look(tasks, packed);
    if (ready.length === 0) {
      await side.client.call('UNWATCH');
      return [];
    }
    const nowMs = await serverTimeMs(side);
    const items = ready.map(({ task, present }) => undoItem(task, present, nowMs));
    await undo.write(items.length, items);
    const commands = ready.map(({ task }) => writeCommand(task, nowMs));
    const bytes = ready.reduce((sum, { task }) => sum + wantedBytes(task), 0);
    await this.#orVoid(items, () => throttle.take(commands.length + 2, bytes));
    const outcome = await this.#exec(ready[0]?.task.db ?? 0, commands, items);
    // One that is refused takes all of its transaction with it.
    if (outcome.kind === 'touched' || (outcome.kind === 'refused' && ready.length > 1)) {
      return ready.map(({ task }) => task);
    }
    for (const [i, { task }] of ready.entries()) {
      const error = outcome.kind === 'refused' ? outcome.error : (outcome.errors[i] ?? null);
      if (error !== null) this.#refuse(task, error);
      else if (task.want === null || isPast(task, nowMs)) this.#gone(task);
      else tally.restored(task.db, task.key, wantedBytes(task));
    }
    return [];
  }

  /** Looks at keys and takes out those that are settled or in conflict. */
  async #look(tasks: readonly WriteTask[], packed: boolean): Promise<readonly Ready[]> {
    const { side, tally, signal } = this.#options;
    signal.throwIfAborted();
    const found = await watchAndRead(side, tasks);
    const ready: Ready[] = [];
    for (const [i, task] of tasks.entries()) {
      const present = found[i] ?? null;
      const settled = task.settled?.(present) === true;
      if (settled) tally.settled();
      if (!settled && this.#mayWrite(task, present)) ready.push({ task, present });
      // An earlier attempt has put it into the pack.
      else if (packed) this.#void.push(voidItem(task));
    }
    return ready;
  }

  #mayWrite(task: WriteTask, present: Present | null): boolean {
    const why = task.conflict(present);
    if (why === null || this.#options.policy === 'overwrite') return true;
    this.#leave(task, why);
    return false;
  }

  /** A key whose value, there or wanted, is large. */
  async #large(task: WriteTask, packed: boolean): Promise<'over' | 'touched'> {
    const { side, undo, cluster, random, signal } = this.#options;
    const [ready] = await this.#look([task], packed);
    if (ready === undefined) {
      await side.client.call('UNWATCH');
      return 'over';
    }
    const place: TemporaryPlace = { side, db: task.db, key: task.key, cluster, random, signal };
    const nowMs = await serverTimeMs(side);
    const past = isPast(task, nowMs);
    // First built, for only then its digest is known to the undo pack.
    const value = past ? null : (task.want?.value ?? null);
    const wanted = value?.kind === 'pieces' ? value.open() : null;
    let temporary: Buffer | null = null;
    try {
      if (wanted !== null) temporary = await buildTemporary(place, wanted.pieces());
    } catch (cause) {
      if (!(cause instanceof NodeError) || cause.code !== 'TM_NODE_REPLY') throw cause;
      throwIfStopped(cause);
      await side.client.call('UNWATCH');
      this.#refuse(task, cause);
      return 'over';
    }
    try {
      const digest = wanted?.digest() ?? null;
      const { present } = ready;
      const reading = largeReading(side, task, present);
      const item = undoItem(task, present, nowMs, digest);
      await undo.write(1, reading === null ? [item] : withPieces(item, reading.pieces()));
      const seen = reading === null ? present : withDigest(present, reading.digest());
      if (reading !== null && !this.#mayWrite(task, seen)) {
        await side.client.call('UNWATCH');
        this.#void.push(voidItem(task));
        return 'over';
      }
      const end = await this.#orVoid([item], () => this.#swap(task, temporary, past));
      if (end === 'over') temporary = null;
      return end;
    } finally {
      if (temporary !== null) await removeTemporary(place, temporary);
    }
  }

  /** Puts a value that was built in the place of the key. */
  async #swap(
    task: WriteTask,
    temporary: Buffer | null,
    past: boolean,
  ): Promise<'over' | 'touched'> {
    const { side, throttle, tally } = this.#options;
    const { db, key, want } = task;
    const nowMs = past ? Infinity : -Infinity;
    // What was built may have been evicted: then the key must not go either.
    if (temporary !== null && !(await holdTemporary(side, db, temporary))) return 'touched';
    const commands: (readonly Argument[])[] =
      temporary === null
        ? [writeCommand(task, nowMs)]
        : [
            // RENAME alone would free a large value at once, and hold everybody up.
            ['UNLINK', key],
            ['RENAME', temporary, key],
            want?.expiryMs == null ? ['PERSIST', key] : ['PEXPIREAT', key, want.expiryMs],
          ];
    await throttle.take(commands.length, temporary === null ? wantedBytes(task) : 0);
    const outcome = await this.#exec(db, commands, []);
    if (outcome.kind === 'touched') return 'touched';
    const errors = outcome.kind === 'refused' ? [outcome.error] : outcome.errors;
    const error = errors.find((one) => one !== null) ?? null;
    if (error !== null) this.#refuse(task, error);
    else if (want === null || past) this.#gone(task);
    else tally.restored(db, key, want.bytes);
    return 'over';
  }

  async #exec(
    db: number,
    commands: readonly (readonly Argument[])[],
    items: readonly UndoKey[],
  ): Promise<ExecOutcome> {
    const { side, tally, throttle } = this.#options;
    const fromMs = performance.now();
    try {
      return await execBatch(side.client, db, commands);
    } catch (cause) {
      if (cause instanceof NodeError && cause.code === 'TM_NODE_UNREACHABLE') {
        tally.uncertain(Math.max(1, items.length));
      } else this.#void.push(...items.map(voidItem));
      throw cause;
    } finally {
      throttle.note(performance.now() - fromMs);
    }
  }

  /** What is in the pack is void when it does not come to the transaction. */
  async #orVoid<T>(items: readonly UndoKey[], work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const lost = cause instanceof NodeError && cause.code === 'TM_NODE_UNREACHABLE';
      if (!lost) this.#void.push(...items.map(voidItem));
      throw cause;
    }
  }

  #gone(task: WriteTask): void {
    const { tally } = this.#options;
    tally.deleted(task.db, task.key);
    if (task.want !== null || task.vanishes) tally.vanished(task.db, task.key);
  }

  /** @throws PlanError `TM_WRITE_CONFLICT` when conflicts are to end the work. */
  #leave(task: WriteTask, why: string): void {
    const { policy, tally } = this.#options;
    tally.left('conflict', task.db, task.key, why);
    if (policy !== 'fail') return;
    const { db, key } = nameKey(task.db, task.key);
    throw new PlanError('TM_WRITE_CONFLICT', `key ${key} of database ${db.toString()}: ${why}`, {
      context: { db, key },
      hint: 'leave such keys as they are with --on-conflict skip, or write them all the same with --on-conflict overwrite',
    });
  }

  #refuse(task: WriteTask, error: NodeError): void {
    const { tally } = this.#options;
    tally.left('refused', task.db, task.key, String(error.context.reply ?? error.message));
    this.#void.push(voidItem(task));
    throwIfStopped(error);
  }
}

function isLargeTask({ want, presentBytes }: WriteTask): boolean {
  return isLarge(presentBytes) || want?.value.kind === 'pieces';
}

function isPast({ want }: WriteTask, nowMs: number): boolean {
  return want !== null && want.expiryMs !== null && want.expiryMs <= nowMs;
}

function wantedBytes({ want }: WriteTask): number {
  return want?.value.kind === 'dump' ? want.value.payload.length : 0;
}

/** RESTORE with an expiry in the past would drop the key and say nothing: it is deleted openly. */
function writeCommand(task: WriteTask, nowMs: number): readonly Argument[] {
  const { key, want } = task;
  if (want?.value.kind !== 'dump' || isPast(task, nowMs)) return ['UNLINK', key];
  return ['RESTORE', key, want.expiryMs ?? 0, want.value.payload, 'REPLACE', 'ABSTTL'];
}

function undoItem(
  task: WriteTask,
  present: Present | null,
  nowMs: number,
  digest: Buffer | null = null,
): UndoKey {
  const { db, key, want, again } = task;
  const gone = want === null || isPast(task, nowMs);
  const content = want?.value.kind === 'dump' ? contentDigest(want.value.payload) : digest;
  return {
    kind: 'key',
    db,
    key,
    standing: again ? 'again' : 'first',
    before: present === null ? null : { ...beforeOf(present) },
    written: gone ? null : { expiryMs: want.expiryMs, digest: content ?? NOTHING },
  };
}

function beforeOf({ type, expiryMs, payload }: Present): NonNullable<UndoKey['before']> {
  return { type, expiryMs, payload };
}

function voidItem({ db, key }: Pick<WriteTask, 'db' | 'key'>): UndoKey {
  return { kind: 'key', db, key, standing: 'void', before: null, written: null };
}

function largeReading(
  side: Side,
  { db, key }: WriteTask,
  present: Present | null,
): ReturnType<typeof readPieces> | null {
  return present === null || present.payload !== null
    ? null
    : readPieces(side, db, key, present.type);
}

async function* withPieces(
  item: UndoKey,
  pieces: AsyncIterable<UndoItem>,
): AsyncGenerator<UndoItem> {
  yield item;
  yield* pieces;
}

function withDigest(present: Present | null, piecesDigest: Buffer): Present | null {
  return present === null ? null : { ...present, piecesDigest };
}
