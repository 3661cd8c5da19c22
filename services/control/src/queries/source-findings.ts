import {
  adviseSource,
  measureSource,
  type NodeClient,
  type NodeFacts,
  type SourceAdvice,
} from '@tidemark/client';
import { systemClock } from '@tidemark/system';

/** How long the write rate of a node is measured. */
const WATCH_MS = 2_000;

/** What a node that is captured by replication should grant its replicas, and does not. */
export async function sourceFindings(
  client: NodeClient,
  facts: NodeFacts,
  signal: AbortSignal,
): Promise<readonly SourceAdvice[]> {
  const load = await measureSource(
    client,
    { clock: systemClock, watchMs: WATCH_MS, signal },
    facts,
  );
  const advice = adviseSource(load);
  if (load.outputLimit !== null) return advice;
  return [
    ...advice,
    {
      setting: 'client-output-buffer-limit',
      value: null,
      wanted: null,
      why: 'it, min-replicas-to-write and repl-diskless-sync could not be checked: the user may not run CONFIG GET',
    },
  ];
}

/** One finding as a line that says what to do. */
export function findingText({ setting, value, wanted, why }: SourceAdvice): string {
  if (wanted === null) return `${setting}: ${why}`;
  const quoted = /\s/.test(wanted) ? `"${wanted}"` : wanted;
  return `${setting} is ${value ?? 'unknown'}: ${why}. Better: CONFIG SET ${setting} ${quoted} (and CONFIG REWRITE)`;
}
