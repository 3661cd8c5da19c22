import type { Random } from '@tidemark/core';
import { UsageError } from '@tidemark/core';
import {
  JOB_MESSAGE_BYTES_MAX,
  openJobMessage,
  sealJobMessage,
  type KeyProvider,
} from '@tidemark/crypto';
import type { JobHandler, Json } from './job.ts';
import { namelessResult } from './nameless-result.ts';

/** What requests are sealed with. */
export interface PrivateParts {
  readonly keys: Pick<KeyProvider, 'logKey'>;
  readonly random: Random;
}

/** A selector as it is kept. */
interface SealedSelector {
  /** Base64. docs/formats/control-db.md. */
  readonly sealed: string;
}

/**
 * The same work, of which nothing that names keys is kept in clear: the selector of a request is sealed
 * under the log key of its instance, and the result goes without names. Who looks at jobs, or at the file
 * that they lie in, sees neither.
 */
export function privateHandler(handler: JobHandler, parts: PrivateParts): JobHandler {
  return {
    kind: handler.kind,
    check: async (order) => sealed(order.instance, await handler.check(order), parts),
    exclusive: (order) => handler.exclusive(order),
    async run(context) {
      const { job } = context;
      const request = await opened(job.instance, job.request, parts);
      const outcome = await handler.run({ ...context, job: { ...job, request } });
      return { ...outcome, result: namelessResult(handler.kind, outcome.result) };
    },
    // It asks for no selector, and must work when the keys cannot be had.
    cleanUp: (context) => handler.cleanUp(context),
  };
}

async function sealed(instance: string, request: Json, parts: PrivateParts): Promise<Json> {
  const selector = selectorOf(request);
  if (selector === null) return request;
  const plain = Buffer.from(JSON.stringify(selector), 'utf8');
  if (plain.length > JOB_MESSAGE_BYTES_MAX) {
    throw new UsageError('TM_USAGE', 'the selector is over the limit of 512 KiB', {
      context: { pointer: '/selector', bytes: plain.length, max: JOB_MESSAGE_BYTES_MAX },
      hint: 'use patterns, or several jobs',
    });
  }
  const logKey = await parts.keys.logKey(instance);
  const kept = sealJobMessage(logKey, parts.random, subjectOf(instance), plain);
  return { ...(request as object), selector: { sealed: kept.toString('base64') } };
}

async function opened(
  instance: string,
  request: Json,
  { keys }: Pick<PrivateParts, 'keys'>,
): Promise<Json> {
  const selector = selectorOf(request);
  // One that an earlier version kept is not sealed.
  if (!isSealed(selector)) return request;
  const kept = Buffer.from(selector.sealed, 'base64');
  const plain = openJobMessage(await keys.logKey(instance), subjectOf(instance), kept);
  return { ...(request as object), selector: JSON.parse(plain.toString('utf8')) as Json };
}

function selectorOf(request: Json): Json {
  if (typeof request !== 'object' || request === null) return null;
  return (request as { readonly [name: string]: Json })['selector'] ?? null;
}

function isSealed(selector: unknown): selector is SealedSelector {
  if (typeof selector !== 'object' || selector === null) return false;
  return 'sealed' in selector && typeof selector.sealed === 'string';
}

function subjectOf(instance: string): string {
  return `request/${instance}`;
}
