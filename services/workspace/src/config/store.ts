import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@tidemark/core';
import type { S3StoreSettings, StoreSettings } from '@tidemark/store';
import type { ConfigFile } from './schema.ts';
import { parseSize } from './units.ts';

/** `[store]` as it is written. */
export type StoreTable = ConfigFile['store'];

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}(\/[A-Za-z0-9][A-Za-z0-9._-]{0,99})*$/;
/** With the longest key of an object this is less than the 1,024 bytes of a name in S3. */
const PREFIX_BYTES_MAX = 256;
const MIB = 1024 * 1024;
const PART_BYTES_MIN = 5 * MIB;
const PART_BYTES_MAX = 512 * MIB;
const CONCURRENCY_MAX = 16;
const LOCK_DAYS_MAX = 36_500;

/**
 * The store that `[store]` names, with defaults filled in.
 * @param base - Folder that paths are relative to.
 * @throws UsageError `TM_STORE_URL` for an address that cannot be used; `TM_CONFIG` for a setting.
 */
export function storeSettings(table: StoreTable, base: string): StoreSettings {
  const { url, ...rest } = table;
  if (url.startsWith('s3://')) return bucketSettings(table);
  const [odd] = Object.keys(rest);
  if (odd !== undefined) throw wrong(odd, 'is for stores in S3 alone');
  if (url.startsWith('file://')) return { kind: 'file', root: fileURLToPath(url) };
  if (!url.includes('://')) return { kind: 'file', root: resolve(base, url) };
  throw new UsageError(
    'TM_STORE_URL',
    `store.url ${JSON.stringify(url)} is neither a file:// nor an s3:// address`,
    { hint: 'file:///var/lib/tidemark/store, or s3://bucket/prefix' },
  );
}

function bucketSettings(table: StoreTable): S3StoreSettings {
  const { bucket, prefix } = placeOf(table.url);
  const endpoint = table.endpoint ?? null;
  const { storage_class: storageClass = null, object_lock_days: objectLockDays = 0 } = table;
  if (storageClass !== null && !/^[A-Z][A-Z0-9_]{0,63}$/.test(storageClass)) {
    throw wrong('storage_class', 'is not the name of one, e.g. STANDARD_IA');
  }
  // Kilobytes are read back in an instant, or a restore takes hours: no colder class.
  if (['GLACIER', 'DEEP_ARCHIVE'].includes(storageClass ?? '')) {
    throw wrong('storage_class', 'is one whose objects cannot be read at once');
  }
  if (!isWithin(objectLockDays, 0, LOCK_DAYS_MAX)) {
    throw wrong('object_lock_days', `is not a number of days from 0 to ${LOCK_DAYS_MAX}`);
  }
  const partSize = parseSize(table.part_size ?? '8MiB', 'store.part_size');
  if (!isWithin(partSize, PART_BYTES_MIN, PART_BYTES_MAX)) {
    throw wrong('part_size', 'is not from 5MiB to 512MiB');
  }
  const { concurrency = 4 } = table;
  if (!isWithin(concurrency, 1, CONCURRENCY_MAX)) {
    throw wrong('concurrency', `is not a number from 1 to ${CONCURRENCY_MAX}`);
  }
  return {
    kind: 's3',
    bucket,
    prefix,
    region: table.region ?? 'us-east-1',
    endpoint,
    // Most services other than AWS have no names of hosts for their buckets.
    forcePathStyle: table.force_path_style ?? endpoint !== null,
    storageClass,
    objectLockDays,
    partSize,
    concurrency,
    checksum: table.checksum ?? (endpoint === null ? 'when_supported' : 'when_required'),
  };
}

function placeOf(url: string): { readonly bucket: string; readonly prefix: string } {
  const [, bucket = '', rest = ''] = /^s3:\/\/([^/]*)(.*)$/s.exec(url) ?? [];
  const prefix = rest.replace(/^\/|\/$/g, '');
  const sound =
    BUCKET.test(bucket) &&
    (prefix === '' || (PREFIX.test(prefix) && prefix.length <= PREFIX_BYTES_MAX));
  if (sound) return { bucket, prefix };
  throw new UsageError('TM_STORE_URL', 'store.url is not s3://BUCKET or s3://BUCKET/PREFIX', {
    hint: 'letters, digits, ".", "_" and "-" between the slashes of a prefix',
  });
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

function wrong(name: string, why: string): UsageError {
  return new UsageError('TM_CONFIG', `store.${name} ${why}`, { hint: 'see docs/s3.md' });
}

/** Flags that name a store besides its address. */
export interface StoreFlags {
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  readonly storageClass?: string;
  readonly objectLockDays?: string;
}

/** `[store]` as flags say it. */
export function storeTable(url: string, flags: StoreFlags): StoreTable {
  const days = flags.objectLockDays;
  return {
    url,
    ...(flags.endpoint === undefined ? {} : { endpoint: flags.endpoint }),
    ...(flags.region === undefined ? {} : { region: flags.region }),
    ...(flags.pathStyle === undefined ? {} : { force_path_style: flags.pathStyle }),
    ...(flags.storageClass === undefined ? {} : { storage_class: flags.storageClass }),
    ...(days === undefined ? {} : { object_lock_days: /^\d{1,5}$/.test(days) ? Number(days) : -1 }),
  };
}
