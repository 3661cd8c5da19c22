import { NodeError, UsageError } from '@tidemark/core';
import { provisionedAt } from './given-address.ts';
import type { ProvisionRequest, Provisioner } from './provisioner.ts';
import { runHook } from './run-hook.ts';
import type { SecretFolder } from './secrets.ts';

/** What the hook of a host is. */
export interface HookSettings {
  readonly program: string | null;
  readonly timeoutMs: number;
  readonly allow: readonly string[];
  readonly secrets: SecretFolder;
}

/**
 * A program of the user's makes the server, on any platform. What it says is held to the same rules as
 * an address that anybody gives.
 */
export function execHook(settings: HookSettings): Provisioner {
  const { program, timeoutMs, allow, secrets } = settings;
  const run = (
    action: string,
    request: ProvisionRequest,
    signal: AbortSignal,
  ): Promise<unknown> => {
    if (program === null) {
      throw new UsageError('TM_PROVISION', 'no hook is configured', {
        context: { reason: 'none' },
        hint: 'name a program: [clone] hook = "…" in tidemark.toml',
      });
    }
    const document = documentOf(action, request, secrets);
    return runHook({ program, document, timeoutMs, signal });
  };
  return {
    async provision(request, { signal }) {
      const answer = answerOf(await run('provision', request, signal), request);
      if (answer.passwordRef !== null) await secrets.require(answer.passwordRef);
      const tls = request.target.kind === 'hook' ? request.target.tls : null;
      return provisionedAt({ ...answer, tls }, allow, 'hook');
    },
    async release(request, { signal }) {
      await run('release', request, signal);
    },
  };
}

function documentOf(
  action: string,
  { id, instance, name, passwordRef, memoryBytes, databases }: ProvisionRequest,
  secrets: SecretFolder,
): unknown {
  return {
    ...{ version: 1, action, id, instance, name, memoryBytes, databases },
    passwordFile: passwordRef === null ? null : secrets.path(passwordRef),
  };
}

function answerOf(
  answer: unknown,
  request: ProvisionRequest,
): { readonly url: string; readonly passwordRef: string | null } {
  const { url, passwordRef = request.passwordRef } = (
    typeof answer === 'object' && answer !== null ? answer : {}
  ) as { readonly url?: unknown; readonly passwordRef?: unknown };
  const isText = typeof url === 'string' && url.length <= 512;
  if (!isText || (passwordRef !== null && typeof passwordRef !== 'string')) {
    throw new NodeError('TM_PROVISION', 'the hook did not print the address of a server', {
      context: { reason: 'answer' },
      hint: 'it prints {"url": "redis://HOST:PORT"}, and "passwordRef" where it chose the password',
    });
  }
  return { url, passwordRef };
}
