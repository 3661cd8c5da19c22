import { UsageError } from '@tidemark/core';
import type { TtlChoice, WantedPoint } from '@tidemark/restorer';
import { compileSelector, selectorFromJson, selectorToJson } from '@tidemark/selector';
import { Compile } from 'typebox/schema';
import type { Actor, Json } from '../jobs/job.ts';
import type { CloneTarget } from '../provision/provisioner.ts';
import type { Provisioners } from '../provision/provisioners.ts';
import { serverKeys } from '../provision/server-keys.ts';
import { CloneSchema, type CloneInput } from './request-schema.ts';

/** Which part of the source beside its data a clone is given. */
export type Kept = 'users' | 'password' | 'params' | 'policy';

/** A clone as a job keeps it: defaults filled in, no secret. */
export interface CloneRequest {
  readonly source: WantedPoint & { readonly kind: 'second' | 'backup' | 'latest' };
  /** `selectorToJson`; null: every key. */
  readonly selector: Json;
  readonly withFunctions: boolean;
  readonly ttl: TtlChoice;
  readonly target: CloneTarget;
  /** Keys of the server that it writes into (`serverKeys`); absent in jobs of an earlier version. */
  readonly writesTo?: readonly string[];
  readonly name: string;
  readonly passwordRef: string | null;
  readonly memoryBytes: number | null;
  readonly keep: readonly Kept[];
  readonly register: boolean;
  /** Who captures it once it is registered; null: the default user, or that of its address. */
  readonly login: { readonly user: string | null; readonly passwordRef: string | null } | null;
  readonly verify: 'stream' | 'full';
  readonly sample: number;
}

const validator = Compile(CloneSchema);

/**
 * Checks what is asked of a clone.
 * @throws UsageError `TM_USAGE` that names the field, `TM_PASSWORD`, `TM_TARGET_TOPOLOGY`, `TM_SELECTOR_…`,
 *   `TM_NOT_FOUND` for a file that is not in the folder of secrets.
 */
export async function checkClone(
  request: unknown,
  provisioners: Provisioners,
  actor: Actor,
): Promise<CloneRequest> {
  refuseInvalid(validator, request);
  const input = request as CloneInput;
  refuseShards(input.shards ?? 1);
  const selector = selectorOf(input.selector);
  const ttl: TtlChoice = input.ttl ?? { mode: selector === null ? 'absolute' : 'remaining' };
  return {
    source: input.source,
    selector,
    withFunctions: input.withFunctions ?? selector === null,
    ttl,
    ...(await checkTargetOf(input, provisioners, actor)),
    keep: [...new Set(input.keep ?? [])],
    register: input.register ?? false,
    login: null,
    verify: input.verify ?? 'stream',
    sample: input.sample ?? 0,
  };
}

/** What clones and rebuilds have in common: where to, by which name, with which password. */
export async function checkTargetOf(
  input: {
    readonly target: CloneInput['target'];
    readonly name: string;
    readonly password?: string;
    readonly passwordRef?: string | null;
    readonly memoryBytes?: number | null;
  },
  provisioners: Provisioners,
  { via }: Actor,
): Promise<Pick<CloneRequest, 'target' | 'writesTo' | 'name' | 'passwordRef' | 'memoryBytes'>> {
  const { password, passwordRef = null, name, memoryBytes = null } = input;
  if (password !== undefined && passwordRef !== null) {
    throw new UsageError('TM_USAGE', 'password and passwordRef are two ways to say the same');
  }
  const target = targetOf(input.target);
  for (const file of tlsFilesOf(target)) await provisioners.secrets.requireNamed(file);
  if (target.kind === 'address' && target.passwordRef !== null) {
    await provisioners.checkFor(target.passwordRef, target.url);
  }
  if (passwordRef !== null) {
    // The command line has kept it a moment ago, and who runs that reads the folder anyway.
    if (via !== 'cli') await provisioners.secrets.requireNamed(passwordRef);
    await provisioners.checkKept(passwordRef);
  }
  const kept = password === undefined ? passwordRef : await provisioners.keepPassword(password);
  const writesTo = target.kind === 'address' ? await serverKeys(target.url) : [];
  return { target, writesTo, name, passwordRef: kept, memoryBytes };
}

function selectorOf(json: unknown): Json {
  if (json === undefined || json === null) return null;
  const spec = selectorFromJson(json);
  compileSelector(spec);
  return selectorToJson(spec) as Json;
}

function refuseShards(shards: number): void {
  if (shards === 1) return;
  throw new UsageError('TM_TARGET_TOPOLOGY', `a clone cannot be made of ${shards} shards`, {
    context: { shards, most: 1 },
    hint: 'a clone is one server; shards of a cluster are cloned one by one',
  });
}

function targetOf(target: CloneInput['target']): CloneTarget {
  switch (target.kind) {
    case 'address': {
      const { kind, url, passwordRef = null } = target;
      return { kind, url, passwordRef, tls: tlsOf(target.tls) };
    }
    case 'local': {
      const { kind, port = null, tls = null } = target;
      if (tls === null) return { kind, port, tls };
      const { cert, key, ca, clients = 'no', serverName = null } = tls;
      return { kind, port, tls: { cert, key, ca, clients, serverName } };
    }
    case 'hook':
      return { kind: 'hook', tls: tlsOf(target.tls) };
  }
}

function tlsOf(
  tls: Extract<CloneInput['target'], { readonly kind: 'address' }>['tls'],
): Extract<CloneTarget, { readonly kind: 'address' }>['tls'] {
  if (tls === undefined || tls === null) return null;
  const { ca = [], cert = null, key = null, serverName = null } = tls;
  return { ca, cert, key, serverName };
}

function tlsFilesOf({ tls }: CloneTarget): readonly string[] {
  const named = tls === null ? [] : [tls.cert, tls.key, ...tls.ca];
  return named.filter((name) => name !== null);
}

interface Validator {
  Check(value: unknown): boolean;
  Errors(
    value: unknown,
  ): [boolean, readonly { readonly instancePath: string; readonly message: string }[]];
}

/** @throws UsageError `TM_USAGE` that names the field. */
export function refuseInvalid(schema: Validator, value: unknown): void {
  if (schema.Check(value)) return;
  const faults = schema.Errors(value)[1];
  const deepest = [...faults].sort((a, b) => b.instancePath.length - a.instancePath.length)[0];
  const at = deepest?.instancePath ?? '';
  throw new UsageError('TM_USAGE', `the request is wrong${at === '' ? '' : ` at ${at}`}`, {
    context: { pointer: at },
    hint: deepest?.message ?? 'see docs/clone.md',
  });
}
