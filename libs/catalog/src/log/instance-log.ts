import {
  instanceLogKey,
  instancePrefix,
  instanceRecordKey,
  parseObjectKey,
} from '@tidemark/archive';
import {
  CatalogError,
  IntegrityError,
  KeyError,
  nameObject,
  TidemarkError,
  type Clock,
  type Random,
} from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { InstanceEvent } from '../model/instance-events.ts';
import {
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceState,
} from '../model/instance-state.ts';
import { createOnce } from './create-once.ts';
import type { LogPosition } from './entry-codec.ts';
import { readForward, type EndCheck } from './forward-reader.ts';
import {
  decodeInstanceEntry,
  decodeInstanceRecord,
  encodeInstanceEntry,
  encodeInstanceRecord,
  INSTANCE_ENTRY_FORMAT,
  type InstanceLogEntry,
  type InstanceRecord,
} from './instance-codec.ts';
import { readHead, readWhole } from './read-object.ts';
import { jitter, type RetryLimits } from './retry.ts';
import { Turns } from './turns.ts';
import { LOG_BEGIN } from './writer-log-reader.ts';

/** An instance log in a store. */
export interface InstanceLogSource {
  readonly store: ObjectStore;
  readonly iid: string;
  readonly logKey: LogKey;
  /** See `WriterLogSource`. */
  readonly keyProven?: boolean;
  readonly signal?: AbortSignal;
}

/** How an instance log is opened. */
export interface InstanceLogOptions extends InstanceLogSource {
  readonly clock: Clock;
  readonly random: Random;
  readonly retry?: RetryLimits;
  /** A fold to read on from, as a catalog knows it; default: the beginning. */
  readonly from?: InstanceState;
}

/** Times that an append gives way to another author. */
const REBASE_MAX = 32;
const REBASE_PAUSE_MS = 50;

/**
 * Puts a new instance on record and begins its log.
 *
 * Safe to repeat with the same arguments: what is there already stays.
 * @throws CatalogError `TM_EXISTS` when the id belongs to another instance; StoreError.
 */
export async function createInstance(
  options: InstanceLogOptions & { readonly name: string; readonly createdMs: number },
): Promise<InstanceLog> {
  const { store, iid, logKey, name, createdMs, clock, random, retry, signal } = options;
  const record: InstanceRecord = { iid, name, format: 1, createdMs };
  const bytes = encodeInstanceRecord(record, logKey);
  const ports = { clock, random, limits: retry, signal };
  const other = await createOnce(store, { key: instanceRecordKey(iid), bytes }, ports);
  if (other !== null) {
    const context = { iid };
    throw new CatalogError('TM_EXISTS', 'another instance has this id', { context });
  }
  const log = await openInstanceLog({ ...options, keyProven: true });
  await log.append((state) =>
    state.iid === null ? { type: 'InstanceCreated', iid, name, atMs: createdMs } : null,
  );
  return log;
}

/**
 * Reads an instance's record.
 *
 * @throws CatalogError `TM_NOT_FOUND`, KeyError `TM_KEY_MISSING` when it was written with another key
 *   ring, FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, StoreError.
 */
export async function readInstanceRecord(source: InstanceLogSource): Promise<InstanceRecord> {
  const { store, iid, logKey, signal } = source;
  const key = instanceRecordKey(iid);
  const bytes = await readWhole(store, key, signal);
  if (bytes === null) {
    throw new CatalogError('TM_NOT_FOUND', 'the store has no such instance', { context: { iid } });
  }
  try {
    return decodeInstanceRecord(bytes, { iid, logKey });
  } catch (cause) {
    if (!(cause instanceof KeyError) || !(await fitsLog(source))) throw nameObject(cause, key);
    throw new IntegrityError('TM_LOG_AUTH', `${key} names another log key than its log`, {
      context: { iid, object: key },
      cause,
    });
  }
}

/** Whether the log begins with an entry that this key opens: then the key is the right one. */
async function fitsLog(source: InstanceLogSource): Promise<boolean> {
  try {
    return (await instanceDigestAt(source, 0)) !== null;
  } catch (cause) {
    if (cause instanceof TidemarkError && !cause.retryable) return false;
    throw cause;
  }
}

/**
 * Ids of every instance that has a record in the store. Asks twice per instance (one LIST, one
 * HEAD) and passes over what lies below it; for adopting a store, not for the steady state.
 */
export async function listInstanceIds(
  store: ObjectStore,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const ids: string[] = [];
  const prefix = instancePrefix('x').slice(0, -2);
  let after: string | undefined;
  for (;;) {
    const key = await firstKey(store, prefix, {
      ...(after && { after }),
      ...(signal && { signal }),
    });
    if (key === null) return ids;
    const iid = key.slice(prefix.length).split('/')[0] ?? '';
    if (parseObjectKey(`${prefix}${iid}/record`)?.kind === 'record') {
      if ((await store.head(instanceRecordKey(iid))) !== null) ids.push(iid);
    }
    // '0' comes right after '/': the next key is one of another instance.
    after = `${prefix}${iid}0`;
  }
}

async function firstKey(
  store: ObjectStore,
  prefix: string,
  options: { readonly after?: string; readonly signal?: AbortSignal },
): Promise<string | null> {
  for await (const batch of store.list(prefix, options)) {
    const [first] = batch;
    if (first !== undefined) return first.key;
  }
  return null;
}

/** Reads an instance log forward to its end, verified as a writer log is. */
export function readInstanceLog(
  source: InstanceLogSource,
  options: { readonly after?: LogPosition; readonly endCheck?: EndCheck } = {},
): AsyncGenerator<readonly InstanceLogEntry[], void, undefined> {
  const { store, iid, logKey, signal } = source;
  const after = options.after ?? LOG_BEGIN;
  const keyProven = source.keyProven ?? after.seq >= 0;
  return readForward<InstanceLogEntry>(
    {
      store,
      format: INSTANCE_ENTRY_FORMAT,
      extraBytes: 1,
      keyOf: (seq) => instanceLogKey(iid, seq),
      decode: (bytes, seq, predecessor) =>
        decodeInstanceEntry(bytes, {
          iid,
          seq,
          predecessor,
          logKey,
          keyProven: keyProven || seq > 0,
        }),
      context: { iid },
      signal,
    },
    after,
    options.endCheck ?? 'probe',
  );
}

/** The digest of one entry as it lies in the store now; `null` when it is not there. */
export async function instanceDigestAt(
  source: InstanceLogSource,
  seq: number,
): Promise<string | null> {
  const { store, iid, logKey, signal } = source;
  const wanted = { format: INSTANCE_ENTRY_FORMAT, extraBytes: 1, signal };
  const key = instanceLogKey(iid, seq);
  const bytes = await readHead(store, key, wanted);
  if (bytes === null) return null;
  const expected = { iid, seq, predecessor: null, logKey, keyProven: true };
  try {
    return decodeInstanceEntry(bytes, expected).digest;
  } catch (cause) {
    throw nameObject(cause, key);
  }
}

/**
 * Opens an instance log and reads it to its end.
 *
 * @throws As `readInstanceLog`.
 */
export async function openInstanceLog(options: InstanceLogOptions): Promise<InstanceLog> {
  const log = new InstanceLog(options);
  await log.catchUp();
  return log;
}

/** An instance log: any number of authors append, each to the state it has seen. */
export class InstanceLog {
  readonly #options: InstanceLogOptions;
  readonly #author: string;
  readonly #turns = new Turns();
  #state: InstanceState;

  constructor(options: InstanceLogOptions) {
    this.#options = options;
    this.#author = options.random.bytes(16).toString('hex');
    this.#state = options.from ?? EMPTY_INSTANCE_STATE;
  }

  /** The fold of every entry read so far. */
  get state(): InstanceState {
    return this.#state;
  }

  /** Reads what others have appended. */
  async catchUp(): Promise<void> {
    await this.#turns.run(async () => {
      await this.#catchUp();
    });
  }

  /**
   * Appends what `choose` makes of the newest state; where another author was faster, `choose` is
   * asked again.
   *
   * @param choose - The event, or `null` when nothing is left to say. May throw to refuse.
   * @returns Sequence number of the entry, or `null`.
   * @throws CatalogError `TM_LOG_STATE` when the event may not follow the state, `TM_LOG_CONFLICT`
   *   after 32 faster authors; StoreError `TM_STORE_IO`: the outcome is unknown.
   */
  async append(choose: (state: InstanceState) => InstanceEvent | null): Promise<number | null> {
    return this.#turns.run(async () => this.#append(choose));
  }

  async #append(choose: (state: InstanceState) => InstanceEvent | null): Promise<number | null> {
    const { store, iid, logKey, clock, random, retry, signal } = this.#options;
    for (let attempt = 1; attempt <= REBASE_MAX; attempt++) {
      await this.#catchUp();
      const chosen = choose(this.#state);
      if (chosen === null) return null;
      const event = decideInstance(this.#state, chosen);
      const seq = this.#state.seq + 1;
      const predecessor = this.#state.digest;
      const author = this.#author;
      const bytes = encodeInstanceEntry({ seq, iid, author, event, predecessor, logKey });
      const ports = { clock, random, limits: retry, signal };
      const taken = await createOnce(store, { key: instanceLogKey(iid, seq), bytes }, ports);
      if (taken === null) {
        const expected = { iid, seq, predecessor, logKey, keyProven: true };
        this.#apply(decodeInstanceEntry(bytes, expected));
        return seq;
      }
      await clock.sleep(jitter(random, REBASE_PAUSE_MS * attempt), signal);
    }
    throw new CatalogError('TM_LOG_CONFLICT', `${REBASE_MAX} other authors were faster`, {
      context: { iid, attempts: REBASE_MAX },
      hint: 'try again',
    });
  }

  async #catchUp(): Promise<void> {
    for await (const batch of readInstanceLog(this.#options, { after: this.#state })) {
      for (const entry of batch) this.#apply(entry);
    }
  }

  #apply({ event, seq, digest }: InstanceLogEntry): void {
    this.#state = evolveInstance(this.#state, event, seq, digest);
  }
}
