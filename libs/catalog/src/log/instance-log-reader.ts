import {
  instanceLogKey,
  instancePrefix,
  instanceRecordKey,
  parseObjectKey,
} from '@tidemark/archive';
import { CatalogError, IntegrityError, KeyError, nameObject, TidemarkError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { LogPosition } from './entry-codec.ts';
import { readForward, type EndCheck } from './forward-reader.ts';
import {
  decodeInstanceEntry,
  decodeInstanceRecord,
  INSTANCE_ENTRY_FORMAT,
  type InstanceLogEntry,
  type InstanceRecord,
} from './instance-codec.ts';
import { readHead, readWhole } from './read-object.ts';
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
    if (await hasInstance(store, iid)) ids.push(iid);
    // '0' comes right after '/': the next key is one of another instance.
    after = `${prefix}${iid}0`;
  }
}

/** Whether an instance has a record in the store, for one request; what cannot be an id has none. */
export async function hasInstance(store: ObjectStore, iid: string): Promise<boolean> {
  const record = `${instancePrefix('x').slice(0, -2)}${iid}/record`;
  return parseObjectKey(record)?.kind === 'record' && (await store.head(record)) !== null;
}

async function firstKey(
  store: ObjectStore,
  prefix: string,
  options: { readonly after?: string; readonly signal?: AbortSignal },
): Promise<string | null> {
  for await (const batch of store.list(prefix, { ...options, first: 1 })) {
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
