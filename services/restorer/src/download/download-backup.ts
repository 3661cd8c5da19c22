import { join } from 'node:path';
import { unpackSnapshot } from '@tidemark/archive';
import {
  readTde,
  withoutShredded,
  type Catalog,
  type CatalogSnapshot,
  type Tde,
} from '@tidemark/catalog';
import {
  IntegrityError,
  nameObject,
  TidemarkError,
  UsageError,
  type ByteSource,
  type Random,
} from '@tidemark/core';
import {
  SealedDigest,
  wipeDataKey,
  type DataKey,
  type KeyProvider,
  type LogKey,
} from '@tidemark/crypto';
import { passRdb, type RdbSummary } from '@tidemark/rdb';
import type { ObjectStore } from '@tidemark/store';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapDataKey } from '../fetch/plan-keys.ts';
import type { PlannedObject } from '../plan/restore-plan.ts';
import { refuseDeleted } from '../plan/deleted.ts';
import { refuseShredded } from '../plan/shredded.ts';
import { writeWholeFile } from './whole-file.ts';

/** What a download works with. */
export interface DownloadEnvironment {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  /** Up to date. */
  readonly catalog: Catalog;
  /** Of an archiver on this host. */
  readonly stateDir: string;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number, bytesTotal: number) => void;
}

/** One file of a download. */
export interface DownloadedFile {
  readonly shard: string;
  readonly path: string;
  /** `sealed`: the container as it lies in the store. `rdb`: what a server loads. */
  readonly form: DownloadForm;
  readonly bytes: number;
}

/** How a backup is given out. */
export type DownloadForm = 'sealed' | 'rdb';

/** What is downloaded. */
export interface DownloadRequest {
  readonly instance: string;
  readonly backup: string;
  /** The container, also of an instance without TDE. */
  readonly sealed: boolean;
  /** Of the file; a folder when there may be several. */
  readonly to: { readonly kind: 'file' | 'folder'; readonly path: string };
}

/** A backup of which all shards are known. */
export interface KnownBackup {
  readonly tde: Tde;
  /** One for each shard. */
  readonly snapshots: readonly CatalogSnapshot[];
}

/**
 * Finds a backup and whether its instance has TDE.
 * @throws UsageError `TM_NOT_FOUND`, `TM_BACKUP_DELETED`; as `readTde`.
 */
export async function findBackup(
  { instance, backup }: Pick<DownloadRequest, 'instance' | 'backup'>,
  { store, keys, catalog, stateDir, signal }: Omit<DownloadEnvironment, 'random' | 'onProgress'>,
): Promise<KnownBackup> {
  const state = catalog.instances().find(({ iid }) => iid === instance);
  if (state === undefined) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const snapshots = catalog.snapshots(instance).filter((one) => one.backup === backup);
  if (snapshots.length === 0) {
    throw new UsageError('TM_NOT_FOUND', `there is no backup ${backup}`, {
      hint: `tidemark backup list ${instance}`,
    });
  }
  refuseDeleted(catalog, instance, backup);
  const logKey = await keys.logKey(instance);
  return { snapshots, tde: await readTde(instance, { state, store, logKey, stateDir, signal }) };
}

/**
 * Downloads a backup, one file for each shard. Of an instance with TDE, whatever is asked for, that
 * is the sealed container as it lies in the store; no key is opened for it. Of others it is a plain
 * RDB: every byte authenticated, its checksum verified, held against what the log says of it.
 *
 * Memory does not grow with the backup.
 * @throws UsageError `TM_NOT_FOUND`, `TM_USAGE` for several shards and one file; KeyError
 *   `TM_KEY_SHREDDED`; TidemarkError `TM_EXISTS`, `TM_OUTPUT`, `TM_BUSY` when TDE is switched on meanwhile; IntegrityError, FormatError, StoreError
 *   that name the object. No file is left then, but those of shards that were done before.
 */
export async function downloadBackup(
  request: DownloadRequest,
  environment: DownloadEnvironment,
): Promise<readonly DownloadedFile[]> {
  const { instance, backup, to } = request;
  const { tde, snapshots } = await findBackup(request, environment);
  // The one place where a plain file could come from: nothing but "disabled" opens it.
  const form: DownloadForm = request.sealed || tde.state !== 'disabled' ? 'sealed' : 'rdb';
  if (to.kind === 'file' && snapshots.length > 1) {
    throw new UsageError('TM_USAGE', `backup ${backup} has ${snapshots.length} shards`, {
      hint: 'name a folder: each shard is a file of its own',
    });
  }
  if (form === 'rdb') {
    const known = withoutShredded(snapshots, environment.catalog.instance(instance));
    const point = { kind: 'backup', backup } as const;
    refuseShredded({ instance, point }, { stored: snapshots, known });
  }
  const logKey = await environment.keys.logKey(instance);
  const files: DownloadedFile[] = [];
  for (const snapshot of snapshots) {
    const { shard } = snapshot.object;
    const name = `${instance}-${shard}-${backup}.${form === 'rdb' ? 'rdb' : 'sealed'}`;
    const path = to.kind === 'file' ? to.path : join(to.path, name);
    const mayPublish = (): Promise<void> => refuseNewTde(request, environment);
    const file = { form, path, logKey, instance, mayPublish };
    const bytes = await writeSnapshot(snapshot, file, environment);
    files.push({ shard, path, form, bytes });
  }
  return files;
}

/**
 * TDE may have been switched on since it was asked first: a plain file is not given its name then.
 * @throws TidemarkError `TM_BUSY`.
 */
async function refuseNewTde(
  request: DownloadRequest,
  environment: DownloadEnvironment,
): Promise<void> {
  const { instance } = request;
  const { store, keys, catalog, signal } = environment;
  const logKey = (iid: string): Promise<LogKey> => keys.logKey(iid);
  await catalog.sync({ store, instances: [instance], logKey, signal });
  const { tde } = await findBackup(request, environment);
  if (tde.state === 'disabled') return;
  throw new TidemarkError('TM_BUSY', `TDE of ${instance} was switched on meanwhile`, {
    context: { instance, state: tde.state },
    hint: 'no plain file was left; run it again for the sealed container',
  });
}

interface SnapshotFile {
  readonly instance: string;
  readonly form: DownloadForm;
  readonly path: string;
  readonly logKey: LogKey;
  /** Of a plain file, when all of it is there. */
  readonly mayPublish: () => Promise<void>;
}

async function writeSnapshot(
  snapshot: CatalogSnapshot,
  { instance, form, path, logKey, mayPublish }: SnapshotFile,
  environment: DownloadEnvironment,
): Promise<number> {
  const { store, keys, random, signal, onProgress } = environment;
  const { timeline, offset: start, object: ref } = snapshot;
  const object: PlannedObject = { ref, timeline, start };
  const { shard, writer, dekId } = ref;
  let dataKey: DataKey | null = null;
  const keyOf = (): DataKey => {
    if (dataKey !== null) return dataKey;
    throw new UsageError('TM_USAGE', 'a data key was not fetched');
  };
  const reader = new ObjectReader({ instance, shard, writer, store, logKey, keyOf, signal });
  const total = form === 'rdb' ? snapshot.rdbBytes : ref.size;
  const onBytes = (bytes: number): void => onProgress(bytes, total);
  try {
    if (form === 'rdb') {
      dataKey = await unwrapDataKey({ instance, dekId, purpose: 'snapshot' }, store, keys);
    }
    const source =
      form === 'rdb'
        ? andThen(plainRdb(snapshot, object, reader), mayPublish)
        : container(object, reader);
    return await writeWholeFile(path, source, { random, signal, onBytes });
  } finally {
    if (dataKey !== null) wipeDataKey(dataKey);
  }
}

/** A file is given its name when its source has ended: not where `check` throws. */
async function* andThen(source: ByteSource, check: () => Promise<void>): ByteSource {
  yield* source;
  await check();
}

/** The RDB of a snapshot; the last chunk comes only when all of it was found right. */
async function* plainRdb(
  snapshot: CatalogSnapshot,
  object: PlannedObject,
  reader: ObjectReader,
): ByteSource {
  const { timeline, offset } = snapshot;
  let summary: RdbSummary | null = null;
  try {
    const rdb = unpackSnapshot(reader.opened(object), { expect: { timeline, offset } });
    yield* passRdb(rdb, (found) => (summary = found));
    checkSummary(summary, snapshot);
  } catch (cause) {
    throw nameObject(cause, reader.nameOf(object));
  }
}

function checkSummary(found: RdbSummary | null, { rdbBytes, summary }: CatalogSnapshot): void {
  if (found?.bytes === rdbBytes && found.keys === summary.keys) return;
  throw new IntegrityError('TM_SEAL_DIGEST', 'a snapshot holds another RDB than the log says', {
    context: { bytes: found?.bytes ?? null, expected: rdbBytes },
  });
}

/**
 * The sealed container, held against the digest in the log. That needs no key, and proves that it is
 * the object that the log names; what lies between its tags is proven where it is opened.
 */
async function* container(object: PlannedObject, reader: ObjectReader): ByteSource {
  const digest = new SealedDigest();
  try {
    for await (const part of reader.sealed(object)) {
      digest.push(part);
      yield part;
    }
    reader.checkDigest(object, digest.end());
  } catch (cause) {
    throw nameObject(cause, reader.nameOf(object));
  }
}
