import { ERROR_CODES, type ErrorCode } from './codes.ts';

/** Values that may stand in an error's context: numbers, ids, offsets. Never data of the user. */
export type ErrorContext = Readonly<Record<string, string | number | bigint | boolean | null>>;

/** What may be said beside code and message. */
export interface ErrorDetails {
  /** Positions and sizes that help to find the fault; offsets are in bytes. */
  readonly context?: ErrorContext;
  /** One sentence that says what the reader can do. */
  readonly hint?: string;
  /** The error below, kept for the log. */
  readonly cause?: unknown;
}

/**
 * The base of every error that Tidemark raises on purpose.
 *
 * A code is permanent, a message is not: scripts and tests look at `code` and `context`. The exit
 * code and whether a retry can help belong to the code and stand in one table (codes.ts).
 */
export class TidemarkError extends Error {
  readonly code: ErrorCode;
  readonly context: ErrorContext;
  readonly hint: string | undefined;

  /**
   * @param code - Permanent code from the table in codes.ts.
   * @param message - Lower case, no full stop, with both numbers where two are compared.
   * @param details - Context, hint and cause.
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.context = details.context ?? {};
    this.hint = details.hint;
  }

  /** Process exit code of this error: the table of README.md, "Exit codes". */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }

  /** Whether the same call may succeed later without a change. */
  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }
}

/** A wrong flag, setting or call: the operator changes it. */
export class UsageError extends TidemarkError {}

/** No way to the wanted state (time not restorable, target unfit): the operator chooses again. */
export class PlanError extends TidemarkError {}

/** Bytes that are not as their format says; `context.offset` is the byte position. */
export class FormatError extends TidemarkError {}

/** A checksum, authentication tag, digest or chain that does not hold. Never retried silently. */
export class IntegrityError extends TidemarkError {}

/** The object store failed or refused. */
export class StoreError extends TidemarkError {}

/** A key is missing, wrong or refused. Never carries key material. */
export class KeyError extends TidemarkError {}

/** The event log or its projection refused: another owner, another version. */
export class CatalogError extends TidemarkError {}

/** A Redis or Valkey server failed, refused or left. */
export class NodeError extends TidemarkError {}

/** Kafka failed or refused, or a message on it is not what it is to be. */
export class BusError extends TidemarkError {}
