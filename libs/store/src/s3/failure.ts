import { StoreError, TidemarkError, type ErrorCode, type ErrorDetails } from '@tidemark/core';

/** A request that was not answered as hoped; not yet an error of the store. */
export class S3Failure extends Error {
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  /** The name S3 gives the error, or the one of the network. */
  readonly code: string;
  /** Whether the same request may succeed later. */
  readonly passing: boolean;
  /** Said by the server, where it is said: the region of the bucket. */
  readonly bucketRegion: string | null;

  constructor(cause: unknown) {
    const facts = factsOf(cause);
    super(facts.message, { cause });
    this.name = 'S3Failure';
    this.status = facts.status;
    this.code = facts.code;
    this.bucketRegion = facts.bucketRegion;
    this.passing = isPassing(facts);
  }

  get meansNoObject(): boolean {
    return this.status === 404 && NO_OBJECT.has(this.code);
  }
}

/** What a 404 says when it is about the object, not about the bucket or the identity. */
const NO_OBJECT = new Set(['NoSuchKey', 'NoSuchVersion', 'NotFound', 'Unknown', 'UnknownError']);

interface FailureFacts {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly bucketRegion: string | null;
}

/** Names of errors that time mends, whatever status they come with. */
const PASSING = new Set([
  'InternalError',
  'InternalFailure',
  'ServiceUnavailable',
  'ServiceUnavailableException',
  'SlowDown',
  'SlowDownRead',
  'SlowDownWrite',
  'Throttling',
  'ThrottlingException',
  'RequestThrottled',
  'TooManyRequests',
  'RequestTimeout',
  'RequestTimeTooSkewed', // the SDK has taken the time of the answer
  'OperationAborted',
  'ConditionalRequestConflict',
  'TimeoutError',
  'BadDigest', // bytes that were changed on the way
  'IncompleteBody',
]);

function isPassing({ status, code }: FailureFacts): boolean {
  if (code === 'CredentialsProviderError') return false;
  if (status === 0 || PASSING.has(code)) return true;
  // An answer that is no XML although all went well: it was cut or is not from S3.
  if (status < 300) return true;
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 507);
}

function factsOf(cause: unknown): FailureFacts {
  const error = isRecord(cause) ? cause : {};
  const metadata = isRecord(error.$metadata) ? error.$metadata : {};
  const response = isRecord(error.$response) ? error.$response : {};
  const headers = isRecord(response.headers) ? response.headers : {};
  const status = numberOf(metadata.httpStatusCode) ?? numberOf(response.statusCode) ?? 0;
  const network = status === 0 ? textOf(error.code) : null;
  return {
    status,
    code: network ?? textOf(error.Code) ?? textOf(error.name) ?? 'Unknown',
    message: textOf(error.message) ?? 'no reason given',
    bucketRegion: textOf(headers['x-amz-bucket-region']) ?? textOf(error.Region),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** What a failed request was for. */
export interface FailedCall {
  /** E.g. `PutObject`. */
  readonly operation: string;
  /** The right of a policy that it needs, e.g. `s3:PutObject`. */
  readonly action: string;
  readonly bucket: string;
  readonly key: string | null;
}

const BUCKET_CODES = new Set(['NoSuchBucket', 'InvalidBucketName']);
const REGION_CODES = new Set([
  'PermanentRedirect',
  'TemporaryRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]);
const CREDENTIAL_CODES = new Set([
  'CredentialsProviderError',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  'TokenRefreshRequired',
  'XAdminUserNotFound',
]);
const ROOM_CODES = new Set([
  'InsufficientStorage',
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
]);

/**
 * A failed request as an error of the store. What is missing is named: the bucket, the region, the
 * identity, or the right of a policy.
 */
export function storeErrorOf(failure: S3Failure, call: FailedCall): TidemarkError {
  const { status, code } = failure;
  const make = (errorCode: ErrorCode, message: string, hint: string): StoreError => {
    const details: ErrorDetails = {
      context: { ...contextOf(call), status, reason: code },
      hint,
      cause: failure.cause,
    };
    return new StoreError(errorCode, message, details);
  };
  if (BUCKET_CODES.has(code)) {
    return make('TM_STORE_URL', 'there is no such bucket', 'check bucket, region and endpoint');
  }
  if (REGION_CODES.has(code) || status === 301) {
    const region = failure.bucketRegion ?? expectedRegion(failure.message);
    const known = region === null ? 'another region' : region;
    return make('TM_STORE_URL', `the bucket is in ${known}`, 'set store.region');
  }
  if (code === 'RequestTimeTooSkewed') {
    return make(
      'TM_STORE_CLOCK',
      'the clock of this machine is too far from the one of the store',
      'set the clock of this machine by NTP',
    );
  }
  if (CREDENTIAL_CODES.has(code)) {
    return make(
      'TM_STORE_DENIED',
      'the store does not know the identity of this process',
      'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine',
    );
  }
  if (ROOM_CODES.has(code) || status === 507) {
    return make('TM_STORE_FULL', 'the store has no room', 'free room, or raise its quota');
  }
  if (status === 403 || status === 401) return denied(failure, call, make);
  if (status === 501) {
    return make('TM_STORE_URL', `the store cannot do ${call.operation}`, 'see docs/s3.md');
  }
  const answered = status === 0 ? 'does not answer' : `answered ${status} ${code}`;
  const hint = status === 0 ? 'check store.endpoint and the network' : 'it is tried again later';
  return failure.passing
    ? make('TM_STORE_IO', `the store ${answered} to ${call.operation}`, hint)
    : make('TM_STORE_REFUSED', `the store ${answered} to ${call.operation}`, 'see docs/s3.md');
}

type Make = (code: ErrorCode, message: string, hint: string) => StoreError;

function denied(failure: S3Failure, call: FailedCall, make: Make): StoreError {
  const [, said] = /not authorized to perform: (\S+?:\w+)/.exec(failure.message) ?? [];
  const action = said ?? call.action;
  const missing =
    call.action === 's3:GetObject'
      ? `${action} (and s3:ListBucket, without which S3 does not say that an object is missing)`
      : action;
  return make(
    'TM_STORE_DENIED',
    `the store denies ${call.operation}`,
    `the identity of this process needs ${missing} on the bucket ${call.bucket}`,
  );
}

function expectedRegion(message: string): string | null {
  const [, region] = /expecting ['"]?([a-z0-9-]+)['"]?/.exec(message) ?? [];
  return region ?? null;
}

function contextOf(call: FailedCall): Record<string, string> {
  return {
    operation: call.operation,
    action: call.action,
    bucket: call.bucket,
    ...(call.key === null ? {} : { key: call.key }),
  };
}
