import { UsageError } from '@tidemark/core';
import type { RestoreRequest, RestoreTarget, TtlChoice } from '@tidemark/restorer';
import { selectorFromJson } from '@tidemark/selector';
import { parseNodeUrl } from '@tidemark/client';
import { securedAddress } from '@tidemark/workspace';
import type { Static } from 'typebox';
import { Compile } from 'typebox/schema';
import { usedBytes } from '../clone/source-needs.ts';
import type { Actor, Json } from '../jobs/job.ts';
import { serverKeys } from '../provision/server-keys.ts';
import { checkTarget, pinnedUrl } from '../provision/allowed-targets.ts';
import { checkNewPort, newServerOf } from '../provision/new-server.ts';
import { tlsSettingsOf } from '../provision/provisioner.ts';
import { requireForTarget } from '../provision/target-secrets.ts';
import type { HandlerPorts } from './handler-ports.ts';
import {
  checked,
  checkedSelector,
  fileName,
  fixedTtl,
  PointSchema,
  pointOf,
  SkipSchema,
  type PointJson,
} from './request-parts.ts';
import { TtlSchema } from './ttl-schema.ts';

const strict = { type: 'object', additionalProperties: false } as const;
const nullable = <const T extends object>(
  schema: T,
): { readonly anyOf: readonly [T, { readonly type: 'null' }] } => ({
  anyOf: [schema, { type: 'null' }],
});
const flag = { type: 'boolean' } as const;

/** What is asked of a restore into a server that is not the original. */
export const RestoreJobSchema = {
  ...strict,
  required: ['point', 'target'],
  properties: {
    point: PointSchema,
    target: {
      anyOf: [
        {
          ...strict,
          required: ['kind'],
          properties: {
            kind: { const: 'new' },
            port: nullable({ type: 'integer', minimum: 1, maximum: 65_535 }),
          },
        },
        {
          ...strict,
          required: ['kind', 'url'],
          properties: {
            kind: { const: 'address' },
            url: { type: 'string', minLength: 1, maxLength: 512 },
            passwordRef: nullable(fileName),
            tls: nullable({
              ...strict,
              properties: {
                ca: { type: 'array', items: fileName, maxItems: 8 },
                cert: nullable(fileName),
                key: nullable(fileName),
                serverName: nullable({ type: 'string', maxLength: 253 }),
              },
            }),
          },
        },
      ],
    },
    /** `selectorToJson` of \@tidemark/selector; null: every key. */
    selector: {},
    withFunctions: flag,
    skip: nullable(SkipSchema),
    ttl: TtlSchema,
    promote: flag,
    verify: { enum: ['stream', 'full'] },
    allowFlush: flag,
    withUsers: flag,
    withSettings: flag,
  },
} as const;

/** A request as it comes in. */
export type RestoreJobInput = Static<typeof RestoreJobSchema>;

/** A request as the job keeps it: nothing left open, no secret. */
export interface RestoreJobRequest {
  readonly point: PointJson;
  readonly target: Exclude<RestoreJobInput['target'], undefined>;
  /** Keys of the server that it writes into (`serverKeys`); absent in jobs of an earlier version. */
  readonly writesTo?: readonly string[];
  readonly selector: Json;
  readonly withFunctions: boolean;
  readonly skip: Static<typeof SkipSchema> | null;
  readonly ttl: TtlChoice;
  readonly promote: boolean;
  readonly verify: 'stream' | 'full';
  readonly allowFlush: boolean;
  readonly withUsers: boolean;
  readonly withSettings: boolean;
}

const validator = Compile(RestoreJobSchema);

/**
 * Checks a request and fills in what it leaves open.
 * @throws UsageError `TM_USAGE`, `TM_NOT_FOUND` for a file that is not in the folder of secrets; PlanError
 *   `TM_TARGET_DENIED` for a server that may not be written into, or a password that is not for it.
 */
export async function checkRestore(
  request: unknown,
  { via }: Actor,
  { workspace, secrets, clock }: HandlerPorts,
): Promise<RestoreJobRequest> {
  const input = checked<RestoreJobInput>(validator, request);
  const { target, point } = input;
  if (target.kind === 'address') {
    const pinned = await checkTarget(target.url, workspace.config.worker.allowTargets);
    const { passwordRef = null } = target;
    if (passwordRef !== null) {
      await requireForTarget(passwordRef, { url: target.url, pinned, via }, { workspace, secrets });
    }
    const { ca = [], cert = null, key = null } = target.tls ?? {};
    for (const name of [cert, key, ...ca]) if (name !== null) await secrets.requireNamed(name);
  } else checkNewPort(target.port ?? null, workspace.config);
  const selector = checkedSelector(input.selector);
  const { withFunctions = false, allowFlush = false } = input;
  if (withFunctions && selector === null) {
    throw new UsageError('TM_USAGE', 'withFunctions belongs to selected keys', {
      context: { pointer: '/withFunctions' },
      hint: 'a restore of everything has them anyway',
    });
  }
  const ttl: TtlChoice = input.ttl ?? { mode: selector === null ? 'absolute' : 'remaining' };
  return {
    ...{ point, target, selector, withFunctions, allowFlush },
    writesTo: target.kind === 'address' ? await serverKeys(target.url) : [],
    skip: input.skip ?? null,
    ttl: fixedTtl(ttl, clock.nowMs()),
    promote: input.promote ?? true,
    verify: input.verify ?? (selector === null || allowFlush ? 'full' : 'stream'),
    withUsers: input.withUsers ?? false,
    withSettings: input.withSettings ?? false,
  };
}

/** The job that asks for a restore. */
export interface RestoreOrigin {
  readonly job: string;
  readonly instance: string;
  readonly actor: Actor;
  readonly signal: AbortSignal;
}

/** The restore that a job asks for. The address of its target is looked up anew, and pinned. */
export async function restoreOf(
  id: string,
  origin: RestoreOrigin,
  request: RestoreJobRequest,
  ports: HandlerPorts,
): Promise<RestoreRequest> {
  const { point, selector, skip, ttl, withFunctions, promote, verify, allowFlush } = request;
  const { withUsers, withSettings } = request;
  const { instance } = origin;
  const facts = { acl: withUsers, defaultUser: false, config: withSettings };
  return {
    ...{ id, instance, ttl, withFunctions, promote, verify, allowFlush },
    point: pointOf(point),
    selector: selector === null ? null : selectorFromJson(selector),
    skip: skip && { from: BigInt(skip.from), to: BigInt(skip.to) },
    target: await targetOf(id, request.target, origin, ports),
    feedListen: null,
    feedAdvertise: null,
    facts: withUsers || withSettings ? facts : null,
  };
}

async function targetOf(
  restore: string,
  target: RestoreJobRequest['target'],
  { job, instance, actor, signal }: RestoreOrigin,
  { workspace, secrets, clock, random }: HandlerPorts,
): Promise<RestoreTarget> {
  const { config } = workspace;
  if (target.kind === 'new') {
    const memoryBytes = await usedBytes(instance, workspace, signal);
    const asked = { job, restore, instance, port: target.port ?? null, memoryBytes };
    return newServerOf(asked, config, secrets, { clock, random });
  }
  const pinned = await checkTarget(target.url, config.worker.allowTargets);
  const url = pinnedUrl(pinned);
  const { ca = [], cert = null, key = null, serverName = null } = target.tls ?? {};
  const refs = { ca, cert, key, serverName };
  const tls =
    pinned.secure === true
      ? tlsSettingsOf(refs, (name) => secrets.path(name), pinned.pinnedName ?? null)
      : {};
  const address = await securedAddress(parseNodeUrl(url), tls);
  const { passwordRef = null } = target;
  if (passwordRef === null) return { kind: 'server', url, passwordFile: null, tls, address };
  // The name of the server may lead elsewhere by now.
  const given = { url: target.url, pinned, via: actor.via };
  const passwordFile = await requireForTarget(passwordRef, given, { workspace, secrets });
  const password = await secrets.read(passwordRef);
  return { kind: 'server', url, passwordFile, tls, address: { ...address, password } };
}
