import type { JobKind, Json } from './job.ts';

/** Fields that are kept and shown: `true` = as they are, else those of an object within. */
type Fields = { readonly [name: string]: true | Fields };

const RESTORE: Fields = {
  ...fields('id', 'state', 'instance', 'at', 'cut', 'ttl', 'path', 'keys', 'vanishing'),
  ...fields('vanishingBound', 'commands', 'bytes', 'elapsedSeconds', 'target', 'phases'),
  ...fields('facts', 'warnings', 'passwordRef'),
  selection: {
    ...fields('followed', 'logBytes', 'indexBytes', 'frameBytes', 'snapshotRead'),
    everything: fields('upTo', 'command', 'reason'),
  },
  skip: fields('commands', 'wroteCount', 'wroteDatabases', 'readersCount', 'unknown', 'complete'),
};

const CLONE: Fields = {
  ...fields('name', 'url', 'tls', 'owner', 'password', 'passwordRef', 'instance', 'at'),
  ...fields('timeline', 'offset', 'keys', 'expired', 'compared', 'warnings'),
};

const AMOUNT: Fields = fields('objects', 'bytes');
const FLOOR: Fields = fields('writer', 'timeline', 'offset');

const EXPIRE: Fields = {
  ...fields('instance', 'dryRun', 'retainSeconds', 'keepLast', 'retainedBy', 'revoked'),
  ...fields('undoPacks'),
  standing: {
    ...fields('tombstone', 'objects', 'bytes', 'dueMs', 'atMs', 'begun'),
    before: FLOOR,
    cuts: fields('writer', 'seq'),
    unnamed: fields('objects', 'bytes', 'digest'),
  },
  deleted: fields('objects', 'bytes', 'logEntries', 'checkpoints', 'dataKeys', 'locked'),
  marked: {
    ...fields('tombstone', 'dueMs', 'limited', 'earliestBefore', 'earliestAfter'),
    steps: { ...fields('shard', 'backups'), floor: FLOOR, amount: AMOUNT },
    amount: AMOUNT,
    cuts: { ...fields('shard', 'writer', 'seq', 'checkpoints'), entries: AMOUNT },
    unnamed: AMOUNT,
  },
};

/** What the results of each kind may hold: counts, places and times, and no name of a key. */
const FIELDS: Readonly<Record<JobKind, Fields>> = {
  restore: RESTORE,
  'write-back': {
    ...fields('id', 'state', 'instance', 'at', 'cut', 'ttl', 'outcomes', 'undo', 'phases'),
    ...fields('elapsedSeconds', 'warnings', 'restored', 'deleted', 'vanished', 'settled'),
    ...fields('uncertain', 'bytes', 'conflicts', 'refused', 'kept'),
  },
  clone: CLONE,
  rebuild: CLONE,
  backup: fields('backup', 'keys', 'rdbBytes', 'storedBytes'),
  'clear-data': fields('backup', 'keys'),
  'purge-expired': fields('purged', 'keys'),
  rewrap: {
    ...fields('keys', 'rewrapped', 'present', 'untested', 'removed', 'faultCount'),
    key: fields('provider', 'keyId'),
  },
  verify: fields('backup', 'instances', 'entries', 'objects', 'bytes', 'shredded', 'faultCount'),
  expire: EXPIRE,
};

/**
 * The result of a job without what may name keys: samples, keys that were left, selectors in words. A job
 * is read by whoever may see jobs, and lies in a file of the host; names have routes and a scope of their
 * own. A field that is not known for its kind is left out.
 */
export function namelessResult(kind: JobKind, result: Json): Json {
  // A row may be of a kind that only a later version knows.
  return only(Object.hasOwn(FIELDS, kind) ? FIELDS[kind] : {}, result);
}

function only(wanted: Fields, value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((each) => only(wanted, each));
  // Only a field that is named may be a text: here an object was expected.
  if (typeof value !== 'object' || value === null) return null;
  const entries = Object.entries(value as { readonly [name: string]: Json }).flatMap(
    ([name, each]) => {
      const within = Object.hasOwn(wanted, name) ? wanted[name] : undefined;
      if (within === undefined) return [];
      return [[name, within === true ? each : only(within, each)] as const];
    },
  );
  return Object.fromEntries(entries);
}

function fields(...names: readonly string[]): Fields {
  return Object.fromEntries(names.map((name) => [name, true as const]));
}
