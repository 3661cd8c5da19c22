import { TidemarkError, type ErrorDetails } from './tidemark-error.ts';

/**
 * The same error with the name of the object it is about: in front of its message and as `object`
 * in its context, so that an operator knows what to look for. A name that stands in the context stays.
 * @param cause - Anything that was thrown; what is no `TidemarkError`, or was cancelled, comes back
 *   as it is.
 * @param object - Key of the object in the store.
 */
export function nameObject(cause: unknown, object: string): unknown {
  if (!(cause instanceof TidemarkError) || cause.code === 'TM_CANCELLED') return cause;
  const { code, message, hint, context } = cause;
  const name = typeof context['object'] === 'string' ? context['object'] : object;
  if (message.includes(name)) return cause;
  const Kind = cause.constructor as new (
    ...args: [typeof code, string, ErrorDetails]
  ) => TidemarkError;
  return new Kind(code, `${name}: ${message}`, {
    context: { ...context, object: name },
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}
