import { callArchiver, controlSocketPath, recordProofs, type ProvenHole } from '@tidemark/archiver';
import { TidemarkError, UsageError } from '@tidemark/core';
import { openHoles, proveHole, type HoleProof } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { freshen, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatSecond } from '../time.ts';
import { restoreEnvironment } from './restore-environment.ts';

const RECORD_TIMEOUT_MS = 60_000;

/** Tries to prove of each hole of an unseen rewrite that nothing is missing, and records it. */
export async function proveHoles(id: string, invocation: Invocation): Promise<void> {
  const { printer, signal } = invocation;
  using workspace = await Workspace.open(invocation);
  await freshen(workspace, id, signal);
  const { catalog } = workspace;
  if (!catalog.instances().some(({ iid }) => iid === id)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const environment = restoreEnvironment(
    workspace,
    invocation,
    ({ phase, bytes }) => `${phase}: ${bytes.toString()} ${phase === 'compare' ? 'keys' : 'bytes'}`,
  );
  const proofs: HoleProof[] = [];
  for (const ends of openHoles(catalog, id)) proofs.push(await proveHole(ends, environment));
  const proven = proofs.filter((proof) => proof.proven);
  if (proven.length > 0) await record(id, proven, workspace, signal);
  const holes = proofs.map(({ from, to, ...proof }) => ({
    from: from === null ? null : formatSecond(from),
    to: to === null ? null : formatSecond(to),
    ...proof,
  }));
  printer.result({ instance: id, holes }, () =>
    holes.length === 0
      ? ['there is no hole of a rewrite that went unseen']
      : holes.flatMap(({ from, to, proven, reason, keys, differences }) => [
          `${span(from, to)}: ${
            proven
              ? `proven: nothing is missing, ${keys.toString()} keys are equal`
              : `the hole stays: ${reason ?? ''}`
          }`,
          ...differences.map(
            ({ db, key, what }) =>
              `  ${db === null ? '' : `db ${db.toString()} `}${key === null ? '' : `${key}: `}${what}`,
          ),
        ]),
  );
}

/** The seconds of a hole, or those around it when none lies between. */
export function span(from: string | null, to: string | null): string {
  const none = from !== null && to !== null && from > to;
  return none ? `between ${to} and ${from}` : `${from ?? '?'} to ${to ?? '?'}`;
}

/** The log has one owner: the running archiver appends, or this process while none runs. */
async function record(
  id: string,
  proven: readonly ProvenHole[],
  { config, store, keys, catalog }: Workspace,
  signal: AbortSignal,
): Promise<void> {
  const socketPath = controlSocketPath(config.stateDir);
  const options = { socketPath, timeoutMs: RECORD_TIMEOUT_MS, signal };
  try {
    for (const { closed, opened } of proven) {
      await callArchiver(options, 'prove', id, { proof: { closed, opened } });
    }
  } catch (cause) {
    const down = cause instanceof TidemarkError && cause.code === 'TM_ARCHIVER_DOWN';
    const [place] = catalog.writers(id);
    if (!down || place === undefined) throw cause;
    await recordProofs(proven, {
      ...{ stateDir: config.stateDir, instance: id, store, keys },
      ...{ shard: place.shard, writer: place.writer, heartbeatMs: config.limits.heartbeatMs },
      ...{ clock: systemClock, random: systemRandom },
    });
  }
}
