import type { PutObjectCommandInput } from '@aws-sdk/client-s3';
import type { S3StoreSettings } from '../open-store.ts';

/** What the settings say of every new object. */
export type StoredAs = Pick<
  PutObjectCommandInput,
  'StorageClass' | 'ObjectLockMode' | 'ObjectLockRetainUntilDate' | 'Metadata'
>;

/** Metadata that tells our own put from that of somebody else, when its answer was lost. */
export const PUT_ID = 'tidemark-put';

/** Only these are data: keys must be destructible, leases and probes come and go. */
const DATA_PREFIX = 'v1/instance/';
const DAY_MS = 86_400_000;

/** How an object is stored. */
export function storedAs(
  settings: S3StoreSettings,
  key: string,
  put: { readonly id: string; readonly nowMs: number },
): StoredAs {
  const locked = settings.objectLockDays > 0 && key.startsWith(DATA_PREFIX);
  return {
    Metadata: { [PUT_ID]: put.id },
    ...(settings.storageClass === null
      ? {}
      : { StorageClass: settings.storageClass as NonNullable<StoredAs['StorageClass']> }),
    ...(locked
      ? {
          ObjectLockMode: 'GOVERNANCE' as const,
          ObjectLockRetainUntilDate: new Date(put.nowMs + settings.objectLockDays * DAY_MS),
        }
      : {}),
  };
}
