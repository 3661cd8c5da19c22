import { TidemarkError, type ErrorDetails } from './tidemark-error.ts';

/**
 * The same error with the name of the object it is about: in front of its message and as `object`
 * in its context, so that an operator knows what to look for.
 * @param cause - Anything that was thrown; what is no `TidemarkError` comes back as it is.
 * @param object - Key of the object in the store.
 */
export function nameObject(cause: unknown, object: string): unknown {
  if (!(cause instanceof TidemarkError) || cause.message.includes(object)) return cause;
  const { code, message, hint } = cause;
  const Kind = cause.constructor as new (
    ...args: [typeof code, string, ErrorDetails]
  ) => TidemarkError;
  return new Kind(code, `${object}: ${message}`, {
    context: { ...cause.context, object },
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}
