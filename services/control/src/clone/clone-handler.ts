import { UsageError } from '@tidemark/core';
import type { JobHandler, JobOrder, Json } from '../jobs/job.ts';
import { cleanUpClone } from './clean-up.ts';
import { checkClone, type CloneRequest } from './clone-request.ts';
import type { CloneParts } from './clone-attempt.ts';
import { runClone } from './clone-run.ts';
import type { CloneResult } from './hand-over-clone.ts';
import { factsMs, refuseOpenSource } from './open-source.ts';
import { refuseKnownInstance } from './register-clone.ts';
import { takeBackClone } from './take-back.ts';

/** How the restorer begins to say that a running server keeps its users and settings in memory only. */
const IN_MEMORY = 'users and settings were written in memory';

const CHECK_MS = 60_000;

/** Jobs of kind `clone`: an instance, or some of its keys, as it was at a time, into a server of its own. */
export function cloneHandler(parts: CloneParts): JobHandler {
  const requestOf = (request: Json): CloneRequest => request as unknown as CloneRequest;
  return {
    kind: 'clone',
    async check({ request, instance, actor }: JobOrder): Promise<Json> {
      const checked = await checkClone(request, parts.provisioners, actor);
      await requireInstance(instance, parts);
      const { workspace } = parts;
      const atMs = factsMs(checked, instance, workspace);
      await refuseOpenSource(checked, instance, atMs, workspace, AbortSignal.timeout(CHECK_MS));
      if (checked.register) await refuseKnownInstance(checked.name, parts.workspace);
      return checked as unknown as Json;
    },
    exclusive: ({ request }) => exclusiveOf(requestOf(request)),
    needsAdmin: ({ request }) => {
      const { register, target } = requestOf(request);
      return register && target.kind !== 'local';
    },
    async run(context) {
      const request = requestOf(context.job.request);
      const result = await runClone(request, parts, context);
      context.log('info', `handed over: ${result.provisioned.publicUrl}`);
      return { state: 'succeeded', result: cloneReport(request, result) as unknown as Json };
    },
    cleanUp: (context) => cleanUpClone(requestOf(context.job.request).register, parts, context),
    takeBack: (context) => takeBackClone(requestOf(context.job.request), parts, context),
  };
}

/** Two of one name would only see at the end that it is taken; two into one server would both find it empty. */
export function exclusiveOf({
  target,
  name,
  writesTo,
}: Pick<CloneRequest, 'target' | 'name' | 'writesTo'>): string {
  const servers = writesTo ?? (target.kind === 'address' ? [`target:${target.url}`] : []);
  return [`clone:${name}`, ...servers].join('\n');
}

/** What a clone ends with: how to connect, and what is in it. No secret. */
export interface CloneReport {
  readonly name: string;
  readonly url: string;
  readonly tls: boolean;
  /** Who ends it one day: its owner, this host, or the hook. */
  readonly owner: 'caller' | 'host' | 'hook';
  readonly password: 'set' | 'of-source' | 'none';
  /** The file in the folder of secrets: the one that was named, or of a password that was made up; null: neither. */
  readonly passwordRef: string | null;
  /** The instance that it is protected as; null: it is not. */
  readonly instance: string | null;
  /** The second that it is of, RFC 3339; null: another point. */
  readonly at: string | null;
  readonly timeline: string | null;
  readonly offset: string | null;
  readonly keys: number;
  readonly expired: number;
  /** Keys that were compared with the archive, and the same. */
  readonly compared: number;
  readonly warnings: readonly string[];
}

/** The report of a clone. */
export function cloneReport(request: CloneRequest, result: CloneResult): CloneReport {
  const { provisioned, passwordRef, replayed, count, compared, warnings } = result;
  const { name, keep, register, target } = request;
  const hasPassword = passwordRef !== null || keep.includes('password');
  return {
    name,
    url: provisioned.publicUrl,
    tls: target.kind === 'local' ? target.tls !== null : provisioned.tls !== null,
    owner: provisioned.ownedBy,
    password: hasPassword ? (passwordRef === null ? 'of-source' : 'set') : 'none',
    passwordRef,
    instance: register ? name : null,
    at: replayed?.at ?? null,
    timeline: replayed?.timeline ?? null,
    offset: replayed?.offset ?? null,
    keys: count.keys,
    expired: count.expired,
    compared,
    // A server that was started here has written them into its file.
    warnings:
      target.kind === 'local' ? warnings.filter((each) => !each.startsWith(IN_MEMORY)) : warnings,
  };
}

/** @throws UsageError `TM_NOT_FOUND`. */
export async function requireInstance(instance: string, { workspace }: CloneParts): Promise<void> {
  await workspace.sync(AbortSignal.timeout(CHECK_MS), instance);
  if (workspace.catalog.instances().some(({ iid }) => iid === instance)) return;
  throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
    hint: 'tidemark instance list',
  });
}
