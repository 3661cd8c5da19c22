import {
  CatalogError,
  ERROR_CODES,
  FormatError,
  IntegrityError,
  KeyError,
  NodeError,
  PlanError,
  StoreError,
  TidemarkError,
  UsageError,
  type ErrorCode,
  type ErrorContext,
} from '@tidemark/core';

/** Characters of a text, fields of a context, and causes that are told. */
const TEXT_MAX = 4_096;
const FIELDS_MAX = 64;
const CAUSES_MAX = 3;

const CLASSES = {
  CatalogError,
  FormatError,
  IntegrityError,
  KeyError,
  NodeError,
  PlanError,
  StoreError,
  TidemarkError,
  UsageError,
} as const;

/** An error as it goes from one process to the other. */
export interface ToldError {
  /** Of a Tidemark error; else what `Error` says. */
  readonly kind: keyof typeof CLASSES | 'Error';
  /** Null for an error that is none of Tidemark's. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly context: ErrorContext;
  readonly hint: string | null;
  readonly cause: ToldError | null;
}

/** What of an error is told: bounded, without a stack. */
export function tellError(error: unknown, causes: number = CAUSES_MAX): ToldError {
  const cause = error instanceof Error ? error.cause : undefined;
  const told = {
    message: (error instanceof Error ? error.message : String(error)).slice(0, TEXT_MAX),
    cause: cause === undefined || causes === 0 ? null : tellError(cause, causes - 1),
  };
  if (!(error instanceof TidemarkError)) {
    return { kind: 'Error', code: null, context: {}, hint: null, ...told };
  }
  const fields = Object.entries(error.context).slice(0, FIELDS_MAX);
  return {
    ...told,
    kind: kindOf(error),
    code: error.code,
    context: Object.fromEntries(
      fields.map(([name, value]) => [
        name,
        typeof value === 'string' ? value.slice(0, TEXT_MAX) : value,
      ]),
    ),
    hint: error.hint?.slice(0, TEXT_MAX) ?? null,
  };
}

/** The error that was told, of the same class. */
export function errorOf({ kind, code, message, context, hint, cause }: ToldError): Error {
  const below = cause === null ? {} : { cause: errorOf(cause) };
  if (kind === 'Error' || code === null || !(code in ERROR_CODES)) return new Error(message, below);
  const Kind = CLASSES[kind];
  return new Kind(code, message, { context, ...(hint === null ? {} : { hint }), ...below });
}

function kindOf(error: TidemarkError): keyof typeof CLASSES {
  for (const [name, Kind] of Object.entries(CLASSES)) {
    if (Kind !== TidemarkError && error instanceof Kind) return name as keyof typeof CLASSES;
  }
  return 'TidemarkError';
}
