import { PlanError, TidemarkError } from '@tidemark/core';
import type { Provisioned } from '../provision/provisioner.ts';
import type { ReplayedFacts } from './checkpoint.ts';
import type { CloneAttempt } from './clone-attempt.ts';
import { environmentOf } from './load-clone.ts';
import { addressOf, withTarget } from './open-clone.ts';
import { refuseOpenClone } from './open-source.ts';
import { registerClone } from './register-clone.ts';
import { settleClone } from './settle-clone.ts';
import { compareSample, countClone, type CloneCount } from './verify-clone.ts';

const ATTACH_MS = 10_000;

/** What a clone was handed over with. */
export interface CloneResult {
  readonly provisioned: Provisioned;
  /** The file with its password; null: that of the source, or what its owner has set. */
  readonly passwordRef: string | null;
  readonly replayed: ReplayedFacts | null;
  readonly count: CloneCount;
  readonly compared: number;
  readonly warnings: readonly string[];
}

/** Checks a promoted clone, and makes it its owner's. It goes on where the attempt is. */
export async function handOverClone(attempt: CloneAttempt): Promise<CloneResult> {
  const { signal } = attempt.context;
  const { secrets } = attempt.parts.provisioners;
  let [count, compared]: [CloneCount, number] = [{ keys: 0, expired: 0 }, 0];
  let warnings: readonly string[] = [];
  if (attempt.here.phase === 'promoted') {
    attempt.tell('verify');
    [count, compared] = await verify(attempt);
    await attempt.keep({ ...attempt.here, phase: 'settling', count });
  }
  if (attempt.here.phase === 'settling') {
    attempt.tell('settle');
    const ports = { secrets, signal, clock: attempt.parts.clock };
    warnings = await settleClone(attempt.here.asked, attempt.target, ports);
    await attempt.keep({ ...attempt.here, phase: 'registering' });
  }
  const { replayed } = attempt.here;
  if (attempt.request.register) warnings = [...warnings, ...(await register(attempt))];
  return {
    ...{ provisioned: attempt.target, replayed, compared },
    passwordRef: attempt.here.asked.passwordRef,
    count: attempt.here.count ?? count,
    warnings: [...(replayed?.warnings ?? []), ...warnings],
  };
}

/** Under protection, by an archiver of this host if one runs. */
async function register(attempt: CloneAttempt): Promise<readonly string[]> {
  const { workspace, provisioners, clock, random } = attempt.parts;
  const { job, signal } = attempt.context;
  const { login, keep, name } = attempt.request;
  const { policy } = workspace.catalog.instance(job.instance);
  const { actor, createdMs } = job;
  const kept = keep.includes('policy') ? policy : null;
  const rest = { policy: kept, by: actor.name, login, createdMs };
  const { secrets } = provisioners;
  const parts = { workspace, secrets, signal, clock, random };
  await attempt.checkSource(attempt.here.asked, attempt.target);
  await registerClone(attempt.here.asked, attempt.target, rest, parts);
  try {
    const asked = { timeoutMs: ATTACH_MS, signal };
    if ((await workspace.askArchiver('attach', name, asked)) !== null) return [];
  } catch (cause) {
    if (signal.aborted || !(cause instanceof TidemarkError)) throw cause;
    return [`${name} is configured, and not captured yet: ${cause.message}`];
  }
  return [`${name} is configured, and captured once an archiver runs (tidemark serve archiver)`];
}

async function verify(attempt: CloneAttempt): Promise<[CloneCount, number]> {
  const { secrets } = attempt.parts.provisioners;
  const { looked, replayed, ttl } = attempt.here;
  const { sample, source } = attempt.request;
  const { signal, job } = attempt.context;
  if (looked === null) throw new PlanError('TM_INTERNAL', 'a clone was not looked at');
  return withTarget(attempt.target, secrets, signal, async (client) => {
    await refuseOpenClone(attempt.request, client);
    const count = await countClone(client, looked, replayed);
    if (sample === 0) return [count, 0];
    const address = await addressOf(attempt.target, secrets);
    try {
      const { instance } = job;
      const point = source.kind === 'latest' && replayed !== null ? cutOf(replayed) : source;
      const request = { instance, point, ttl, address, sample };
      return [count, await compareSample(request, client, await environmentOf(attempt))];
    } finally {
      address.tls?.[Symbol.dispose]();
    }
  });
}

function cutOf({ timeline, offset }: ReplayedFacts): {
  readonly kind: 'offset';
  readonly offset: bigint;
  readonly timeline: string;
} {
  return { kind: 'offset', offset: BigInt(offset), timeline };
}
