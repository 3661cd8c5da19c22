import type { Clock, Random } from '@tidemark/core';
import { openFileStore } from './file/file-store.ts';
import type { ObjectStore } from './object-store.ts';
import type { S3Limits } from './s3/limits.ts';

/** A store in a folder of a local file system. */
export interface FileStoreSettings {
  readonly kind: 'file';
  /** Absolute path. */
  readonly root: string;
}

/** A store in a bucket of an S3 service. Who may use it is found the way the AWS tools find it. */
export interface S3StoreSettings {
  readonly kind: 's3';
  readonly bucket: string;
  /** Before every key, without a slash at either end; '' for none. */
  readonly prefix: string;
  readonly region: string;
  /** Address of a service other than AWS; null for AWS. */
  readonly endpoint: string | null;
  /** `endpoint/bucket/key` rather than `bucket.endpoint/key`. */
  readonly forcePathStyle: boolean;
  /** E.g. `STANDARD_IA`; null for the default of the bucket. */
  readonly storageClass: string | null;
  /** Days for which data objects cannot be deleted by anybody; 0 for none. */
  readonly objectLockDays: number;
  /** Bytes of a part of a large object; at least 5 MiB. */
  readonly partSize: number;
  /** Parts of one object, and requests in all, that are under way at the same time. */
  readonly concurrency: number;
  /** Whether the SDK sends checksums of its own; services other than AWS often refuse them. */
  readonly checksum: 'when_required' | 'when_supported';
}

/** Where a store is and how it is used: plain data without secrets, as the configuration says it. */
export type StoreSettings = FileStoreSettings | S3StoreSettings;

/** What stores need of the world. */
export interface StorePorts {
  readonly random: Random;
  readonly clock: Clock;
  /** How long a store in S3 waits, where that is not as usual. */
  readonly s3Limits?: Partial<S3Limits>;
}

/**
 * Opens the store that the settings name. For the main of a service: all else is given a store.
 *
 * The AWS SDK is loaded for a store in S3 only. Nothing is asked of a server here.
 * @throws StoreError as the adapter's own opening.
 */
export async function openStore(settings: StoreSettings, ports: StorePorts): Promise<ObjectStore> {
  if (settings.kind === 'file') {
    return openFileStore({ root: settings.root, random: ports.random });
  }
  const { openS3Store } = await import('./s3/s3-store.ts');
  return openS3Store(settings, ports);
}
