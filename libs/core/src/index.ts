export { ERROR_CODES, type ErrorCode, type ErrorCodeFacts } from './errors/codes.ts';
export {
  BusError,
  CatalogError,
  FormatError,
  IntegrityError,
  KeyError,
  NodeError,
  PlanError,
  StoreError,
  TidemarkError,
  UsageError,
  type ErrorContext,
  type ErrorDetails,
} from './errors/tidemark-error.ts';
export { nameObject } from './errors/name-object.ts';
export type { Clock } from './ports/clock.ts';
export type { Random } from './ports/random.ts';
export { bytesOf, collectBytes, type ByteSource } from './flow/bytes.ts';
export { isSafeName, makeId, idMadeMs } from './ids.ts';
export { Crc64 } from './crc64.ts';
export { refuseUnverified } from './verified-connections.ts';
