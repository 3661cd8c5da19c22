import { IntegrityError, nameObject, type ErrorContext } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import type { LogPosition } from './entry-codec.ts';
import type { EnvelopeFormat } from './envelope.ts';
import { readHead } from './read-object.ts';

/** Reads in flight at one time. */
export const READ_AHEAD_MAX = 16;

/** How far behind a missing entry a reader looks for a later one. */
export const PROBE_AHEAD = 4;

/** A contiguous, chained log of objects. */
export interface ForwardLog<E extends LogPosition> {
  readonly store: ObjectStore;
  readonly format: EnvelopeFormat;
  /** Bytes behind the envelope that `decode` needs. */
  readonly extraBytes: number;
  readonly keyOf: (seq: number) => string;
  readonly decode: (bytes: Buffer, seq: number, predecessor: string) => E;
  /** Goes into errors. */
  readonly context: ErrorContext;
  readonly signal?: AbortSignal | undefined;
}

/**
 * How a reader makes sure that the first missing entry is the end of the log: `probe` asks for the
 * next few, `list` asks the store for any later one.
 */
export type EndCheck = 'probe' | 'list';

/**
 * Reads a log forward from a position to its end, verified entry by entry.
 *
 * Reads run ahead in parallel, one at first and up to 16 while entries keep coming, so that a
 * reader who is nearly up to date asks for little.
 * @throws IntegrityError `TM_LOG_GAP` when an entry is missing before a later one, and what
 *   `decode` throws.
 */
export async function* readForward<E extends LogPosition>(
  log: ForwardLog<E>,
  after: LogPosition,
  endCheck: EndCheck,
): AsyncGenerator<readonly E[], void, undefined> {
  let last = after;
  let width = 1;
  let window = fetchWindow(log, last.seq + 1, width);
  for (;;) {
    const heads = await window;
    const hits = leadingHits(heads);
    const batch = decodeBatch(log, hits, last);
    last = batch.at(-1) ?? last;
    const whole = hits.length === heads.length;
    if (whole) {
      width = Math.min(READ_AHEAD_MAX, width * 2);
      window = fetchWindow(log, last.seq + 1, width);
    }
    if (batch.length > 0) yield batch;
    if (whole) continue;
    const missing = last.seq + 1;
    if (await isEnd(log, missing, endCheck)) return;
    width = 1;
    window = fetchWindow(log, missing, width);
  }
}

async function fetchHead<E extends LogPosition>(
  log: ForwardLog<E>,
  seq: number,
): Promise<Buffer | null> {
  const { store, format, extraBytes, signal } = log;
  return readHead(store, log.keyOf(seq), { format, extraBytes, signal });
}

function fetchWindow<E extends LogPosition>(
  log: ForwardLog<E>,
  first: number,
  width: number,
): Promise<readonly (Buffer | null)[]> {
  const heads = Array.from({ length: width }, (_, index) => fetchHead(log, first + index));
  const all = Promise.all(heads);
  // A consumer that stops early never looks at the window in flight.
  all.catch(() => undefined);
  return all;
}

function leadingHits(heads: readonly (Buffer | null)[]): readonly Buffer[] {
  const hits: Buffer[] = [];
  for (const head of heads) {
    if (head === null) break;
    hits.push(head);
  }
  return hits;
}

function decodeBatch<E extends LogPosition>(
  log: ForwardLog<E>,
  heads: readonly Buffer[],
  after: LogPosition,
): readonly E[] {
  const entries: E[] = [];
  let last = after;
  for (const head of heads) {
    const entry = decodeEntry(log, head, last);
    entries.push(entry);
    last = entry;
  }
  return entries;
}

function decodeEntry<E extends LogPosition>(
  log: ForwardLog<E>,
  head: Buffer,
  last: LogPosition,
): E {
  const seq = last.seq + 1;
  try {
    return log.decode(head, seq, last.digest);
  } catch (cause) {
    throw nameObject(cause, log.keyOf(seq));
  }
}

/**
 * Whether the log ends before `missing`. False when the entry has come meanwhile: its owner writes
 * on while we look.
 */
async function isEnd<E extends LogPosition>(
  log: ForwardLog<E>,
  missing: number,
  endCheck: EndCheck,
): Promise<boolean> {
  const later =
    endCheck === 'list' ? await listLater(log, missing) : await probeLater(log, missing);
  if (later === null) return true;
  if ((await log.store.head(log.keyOf(missing))) !== null) return false;
  const object = log.keyOf(missing);
  throw new IntegrityError('TM_LOG_GAP', `${object} is missing, ${later} is there`, {
    context: { ...log.context, seq: missing, later, object },
    hint: 'the store has lost an object; restore it from a copy of the store',
  });
}

async function probeLater<E extends LogPosition>(
  log: ForwardLog<E>,
  missing: number,
): Promise<string | null> {
  const keys = Array.from({ length: PROBE_AHEAD }, (_, index) => log.keyOf(missing + 1 + index));
  const found = await Promise.all(keys.map((key) => log.store.head(key)));
  return found.find((info) => info !== null)?.key ?? null;
}

async function listLater<E extends LogPosition>(
  log: ForwardLog<E>,
  missing: number,
): Promise<string | null> {
  const after = log.keyOf(missing);
  const prefix = after.slice(0, after.lastIndexOf('/') + 1);
  for await (const batch of log.store.list(prefix, { after, first: 1 })) {
    const [first] = batch;
    if (first !== undefined) return first.key;
  }
  return null;
}
