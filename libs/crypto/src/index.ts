export {
  COMPRESSION,
  OBJECT_KIND,
  type Compression,
  type ObjectKind,
} from './container/constants.ts';
export { decodeIdentity, encodeIdentity, type Identity } from './container/identity.ts';
export { parseSealedHeader, type SealedHeader } from './container/header.ts';
export { verifySealedHeader, wipeDataKey, type DataKey } from './container/key-schedule.ts';
export { SealedDigest } from './container/digest.ts';
export { Sealer, type SealOptions } from './container/sealer.ts';
export { Opener, type OpenOptions } from './container/opener.ts';
export { openBytes, openStream, sealBytes, sealPieces, sealStream } from './container/streams.ts';
export { openRange, type OpenRangeOptions } from './container/open-range.ts';
export { plainSizeOf, sealedSizeOf } from './container/sizes.ts';
export { keyNameHasher } from './log-auth/key-name-hash.ts';
export { LOG_MAC_BYTES, authenticateLogBytes, verifyLogBytes } from './log-auth/mac.ts';
export { JOB_MESSAGE_BYTES_MAX, openJobMessage, sealJobMessage } from './log-auth/job-seal.ts';
export type {
  KeyContext,
  KeyDescription,
  KeyProvider,
  KeyPurpose,
  LogKey,
  WrappedDataKey,
} from './keys/provider.ts';
export {
  assertKeyContext,
  encodeWrappedDataKey,
  parseWrappedDataKey,
} from './keys/wrapped-data-key.ts';
export { createKeyRing, openKeyRing, type KeyRing } from './keys/key-ring.ts';
export { openKeys, openKmsAdmin, type KeySettings } from './keys/open-keys.ts';
export { assertKmsConnection, regionOfKey } from './kms/kms-connection.ts';
export type { KeyProviders } from './keys/key-providers.ts';
export {
  KeyDirectory,
  isSameKey,
  type InstanceKeys,
  type WrappingKey,
} from './keys/key-directory.ts';
export {
  describeUsable,
  type KeyAdmin,
  type KeyAuthorization,
  type KeyFacts,
  type KeyState,
} from './keys/key-admin.ts';
export type { KeyRingOptions } from './keys/ring-dir.ts';
export { openSpoolKey } from './keys/spool-key.ts';
export {
  FRAME_BYTES_MAX,
  FRAME_COMMITMENT_BYTES,
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD_BYTES,
  FrameCipher,
  parseFrameHead,
  type FrameHead,
} from './frames/frame-cipher.ts';
