import { UsageError, type Random } from '@tidemark/core';
import {
  JOB_MESSAGE_BYTES_MAX,
  openJobMessage,
  sealJobMessage,
  type KeyProvider,
} from '@tidemark/crypto';
import type { Job, JobContext, JobHandler, Json } from './job.ts';
import { namelessResult } from './nameless-result.ts';

/** What requests and checkpoints are sealed with. */
export interface PrivateParts {
  readonly keys: Pick<KeyProvider, 'logKey'>;
  readonly random: Random;
}

/** Something as it is kept: base64. docs/formats/control-db.md. */
interface Sealed {
  readonly sealed: string;
}

/** A request as it is kept. What it may not run beside is asked of it while no key is at hand. */
interface SealedRequest extends Sealed {
  readonly exclusive: string | null;
  /** Whether only an administrator may go on with it; absent: the kind alone says. */
  readonly admin?: boolean;
}

/** The same work, with a result that is kept and shown without names: see `namelessResult`. */
export function namelessHandler(handler: JobHandler): JobHandler {
  return {
    kind: handler.kind,
    check: (order) => handler.check(order),
    exclusive: (order) => handler.exclusive(order),
    async run(context) {
      const outcome = await handler.run(context);
      return { ...outcome, result: namelessResult(handler.kind, outcome.result) };
    },
    cleanUp: (context) => handler.cleanUp(context),
  };
}

/**
 * The same work, of which nothing that may name keys is kept in clear: request and checkpoints are sealed
 * under the log key of the instance, and the result goes without names. Who looks at jobs, or at the file
 * that they lie in, sees neither. An attempt has the key: without it its claim cannot be logged.
 */
export function privateHandler(handler: JobHandler, parts: PrivateParts): JobHandler {
  const { kind } = handler;
  return {
    kind,
    async check(order) {
      const request = await handler.check(order);
      const right = handler.exclusive({ ...order, request });
      const admin = handler.needsAdmin?.({ ...order, request });
      const kept: SealedRequest = {
        ...(await sealedRequest(order.instance, request, parts)),
        exclusive: right,
        ...(admin !== undefined && { admin }),
      };
      return { ...kept };
    },
    exclusive: (order) =>
      isSealed(order.request)
        ? (order.request as unknown as SealedRequest).exclusive
        : handler.exclusive(order),
    async run(context) {
      const clear = await openedContext(context, parts);
      const outcome = await handler.run({ ...context, ...clear });
      return { ...outcome, result: namelessResult(kind, outcome.result) };
    },
    async cleanUp(context) {
      return handler.cleanUp({ ...context, ...(await openedContext(context, parts)) });
    },
    ...(handler.takeBack !== undefined && {
      takeBack: async (context) =>
        handler.takeBack?.({ ...context, ...(await openedContext(context, parts)) }),
    }),
  };
}

type Opened = Pick<JobContext, 'job' | 'checkpoint' | 'keep'>;

async function openedContext(
  { job, checkpoint, keep }: Opened,
  parts: PrivateParts,
): Promise<Opened> {
  const subject = `checkpoint/${job.id}`;
  const open = isSealed(checkpoint)
    ? await opened(job.instance, subject, checkpoint, parts)
    : checkpoint;
  return {
    job: { ...job, request: await openedRequest(job, parts) },
    checkpoint: open,
    // That there is none is seen in the row.
    keep: async (next) =>
      keep(next === null ? null : { ...(await sealed(job.instance, subject, next, parts)) }),
  };
}

async function sealedRequest(
  instance: string,
  request: Json,
  parts: PrivateParts,
): Promise<Sealed> {
  const bytes = Buffer.byteLength(JSON.stringify(request));
  if (bytes <= JOB_MESSAGE_BYTES_MAX) {
    return sealed(instance, requestSubject(instance), request, parts);
  }
  throw new UsageError('TM_USAGE', 'the request is over the limit of 512 KiB', {
    context: { pointer: '/selector', bytes, max: JOB_MESSAGE_BYTES_MAX },
    hint: 'use patterns, or several jobs',
  });
}

async function openedRequest({ instance, request }: Job, parts: PrivateParts): Promise<Json> {
  const subject = requestSubject(instance);
  if (isSealed(request)) return opened(instance, subject, request, parts);
  // An earlier version sealed the selector alone, or nothing.
  const selector = selectorOf(request);
  if (!isSealed(selector)) return request;
  return {
    ...(request as object),
    selector: await opened(instance, subject, selector, parts),
  };
}

async function sealed(
  instance: string,
  subject: string,
  json: Json,
  { keys, random }: PrivateParts,
): Promise<Sealed> {
  const plain = Buffer.from(JSON.stringify(json), 'utf8');
  const kept = sealJobMessage(await keys.logKey(instance), random, subject, plain);
  return { sealed: kept.toString('base64') };
}

async function opened(
  instance: string,
  subject: string,
  kept: Sealed,
  { keys }: PrivateParts,
): Promise<Json> {
  const logKey = await keys.logKey(instance);
  const plain = openJobMessage(logKey, subject, Buffer.from(kept.sealed, 'base64'));
  return JSON.parse(plain.toString('utf8')) as Json;
}

function selectorOf(request: Json): Json {
  if (typeof request !== 'object' || request === null) return null;
  return (request as { readonly [name: string]: Json })['selector'] ?? null;
}

function isSealed(json: Json): json is Json & Sealed {
  if (typeof json !== 'object' || json === null) return false;
  return 'sealed' in json && typeof json.sealed === 'string';
}

function requestSubject(instance: string): string {
  return `request/${instance}`;
}
