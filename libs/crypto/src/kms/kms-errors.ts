import { KeyError, type ErrorCode } from '@tidemark/core';

/** What was asked of the key service, for the error that tells of it. */
export interface KmsAsked {
  /** Name of the operation, `Decrypt`; the right to it is `kms:Decrypt`. */
  readonly action: string;
  readonly keyId: string | null;
}

interface Refusal {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint: string;
}

const CREDENTIALS: Refusal = {
  code: 'TM_KEY_DENIED',
  says: 'does not take the credentials',
  hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role that is valid now',
};
const STATE: Refusal = {
  code: 'TM_KEY_DISABLED',
  says: 'cannot use the key in its state',
  hint: 'enable the key, or cancel its deletion, in the key service; nothing is stored without it',
};
const WRONG: Refusal = {
  code: 'TM_KEY_WRONG',
  says: 'does not open the data key with this key and context',
  hint: 'the stored key was moved or replaced; see "tidemark repo verify"',
};
const NO_KEY: Refusal = {
  code: 'TM_KEY_MISSING',
  says: 'knows no such key',
  hint: 'check kms_key_id, kms_region and the account of the credentials',
};

/** What time does not mend (reliability.md 3.4), by the name that the service gives the error. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  AccessDeniedException: {
    code: 'TM_KEY_DENIED',
    says: 'denies it',
    hint: 'allow the action in the key policy or in the policy of the identity; see docs/kms.md',
  },
  UnrecognizedClientException: CREDENTIALS,
  InvalidClientTokenId: CREDENTIALS,
  InvalidSignatureException: CREDENTIALS,
  IncompleteSignature: CREDENTIALS,
  MissingAuthenticationTokenException: CREDENTIALS,
  ExpiredTokenException: CREDENTIALS,
  CredentialsProviderError: CREDENTIALS,
  TokenProviderError: CREDENTIALS,
  DisabledException: STATE,
  KMSInvalidStateException: STATE,
  InvalidKeyUsageException: {
    code: 'TM_KEY_DISABLED',
    says: 'has this key for another use',
    hint: 'a symmetric key for encryption is needed (ENCRYPT_DECRYPT, SYMMETRIC_DEFAULT)',
  },
  InvalidCiphertextException: WRONG,
  IncorrectKeyException: WRONG,
  NotFoundException: NO_KEY,
  InvalidArnException: NO_KEY,
  LimitExceededException: {
    code: 'TM_LIMIT',
    says: 'has reached a quota of the account',
    hint: 'remove keys that are not needed, or ask the key service for a higher quota',
  },
};

const PASSING = new Set([
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'SlowDown',
  'ServiceUnavailable',
  'ServiceUnavailableException',
  'InternalFailure',
  'InternalServerError',
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'RequestTimeout',
  'RequestTimeoutException',
  'TimeoutError',
  'AbortError',
]);

/** Errors of a socket or of a name look-up; not of a certificate, which time does not mend. */
const NETWORK = /^E(?!RR_)[A-Z_]+$/;
const SKEW = /(Signature expired|not yet current|RequestTimeTooSkewed|RequestExpired)/;

/** How an answer of the key service is to be taken. */
export type KmsOutcome = 'passes' | 'throttled' | 'skewed' | 'final';

/**
 * Whether the same call may succeed later. After `skewed` the SDK has set its clock by the service's:
 * one more try tells.
 */
export function outcomeOf(cause: unknown): KmsOutcome {
  const { name, status, message } = factsOf(cause);
  if (SKEW.test(name) || SKEW.test(message)) return 'skewed';
  if (/thrott|TooManyRequests|RequestLimit|SlowDown/i.test(name) || status === 429) {
    return 'throttled';
  }
  if (name in REFUSALS) return 'final';
  if (PASSING.has(name) || status >= 500) return 'passes';
  // An answer that cannot be read is one that was cut or is not the service's.
  if (isNetwork(cause) || isUnreadable(cause)) return 'passes';
  return 'final';
}

/**
 * The error of a call that is given up, with the action, the key and what the service said. The
 * SDK's own error is left behind: it holds request and answer, and with them a data key, perhaps.
 */
export function kmsErrorOf(failure: unknown, asked: KmsAsked): KeyError {
  const { name, status, message } = factsOf(failure);
  const cause = new Error(message === '' ? name : `${name}: ${message}`);
  const { action, keyId } = asked;
  const context = { action: `kms:${action}`, keyId, error: name, status };
  const about = keyId === null ? '' : ` for ${keyId}`;
  const words = message === '' ? '' : `: ${message}`;
  const outcome = outcomeOf(failure);
  if (outcome === 'passes' || outcome === 'throttled') {
    const says = outcome === 'throttled' ? 'throttles' : 'failed or cannot be reached';
    return new KeyError('TM_KEY_SERVICE', `the key service ${says} (kms:${action}, ${name})`, {
      context,
      hint: 'it is tried again; check kms_endpoint, kms_region and the network if it stays so',
      cause,
    });
  }
  if (outcome === 'skewed') {
    return new KeyError('TM_KEY_DENIED', `the key service refuses the time of kms:${action}`, {
      context,
      hint: 'set the clock of this host',
      cause,
    });
  }
  const refusal = REFUSALS[name];
  if (refusal === undefined) {
    return new KeyError(
      'TM_KEY_DENIED',
      `the key service refused kms:${action} (${name})${words}`,
      {
        context,
        hint: 'is kms_endpoint the address of a key service?',
        cause,
      },
    );
  }
  const { code, says, hint } = refusal;
  const text = `the key service ${says}: kms:${action}${about} (${name})${words}`;
  return new KeyError(code, text, { context, hint, cause });
}

/** Name of the error that the service or the network gave. */
export function kmsErrorName(cause: unknown): string {
  return factsOf(cause).name;
}

function factsOf(cause: unknown): {
  readonly name: string;
  readonly status: number;
  readonly message: string;
} {
  if (!(cause instanceof Error)) return { name: 'unknown', status: 0, message: '' };
  const metadata = '$metadata' in cause ? cause.$metadata : undefined;
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? Number(metadata.httpStatusCode)
      : 0;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : null;
  const name = code !== null && cause.name !== 'TimeoutError' ? code : cause.name;
  // Of an answer that cannot be read the message quotes what it was.
  if (isUnreadable(cause)) return { name: 'unreadable answer', status, message: '' };
  // Printable, short, and without the placeholder of the SDK.
  const message = cause.message.replaceAll(/[^ -~]/g, ' ').slice(0, 300);
  return { name, status, message: message === 'UnknownError' ? '' : message };
}

function isNetwork(cause: unknown): boolean {
  if (!(cause instanceof Error) || !('code' in cause)) return false;
  return typeof cause.code === 'string' && NETWORK.test(cause.code);
}

/** An answer whose body is not what the protocol says: cut in half, or a page of a web server. */
function isUnreadable(cause: unknown): boolean {
  return cause instanceof SyntaxError || (cause instanceof Error && '$responseBodyText' in cause);
}
