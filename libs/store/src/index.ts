export { assertObjectKey } from './object-key.ts';
export type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoreCapabilities,
} from './object-store.ts';
export { openFileStore, type FileStoreOptions } from './file/file-store.ts';
export {
  openStore,
  type FileStoreSettings,
  type S3StoreSettings,
  type StorePorts,
  type StoreSettings,
} from './open-store.ts';
export {
  eraseObject,
  listVersions,
  versionsOf,
  type ObjectVersion,
  type VersionAccess,
  type VersionLock,
} from './object-versions.ts';
export { areApart, storeTime } from './store-clock.ts';
export { presignGet, type PresignGet } from './presign.ts';
export { collectStray } from './collect-stray.ts';
export { isToBeProbed, probeStore, refusalOf } from './probe-store.ts';
export { putSame } from './put-same.ts';
export { copyObjects, type CopyCounts, type CopyOptions } from './copy-objects.ts';
