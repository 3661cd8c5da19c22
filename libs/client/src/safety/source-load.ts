import type { Clock } from '@tidemark/core';
import type { NodeClient } from '../node-client.ts';
import { readNodeFacts, type NodeFacts } from '../node-facts.ts';

/** What a node writes and holds, and what it grants a replica. */
export interface SourceLoad {
  /** Bytes of the replication stream per second, while it was looked at. */
  readonly writeRate: number;
  /**
   * Whether that is the stream itself. A node without a backlog counts no stream: then it is all
   * that its clients sent, reads too, which is more.
   */
  readonly rateIsExact: boolean;
  /** Memory that holds the data, in bytes: an RDB of them is smaller. */
  readonly datasetBytes: number;
  readonly usedMemory: number;
  /** Memory of the machine, in bytes; 0 when the node does not tell. */
  readonly systemMemory: number;
  /** `repl-backlog-size`, in bytes. */
  readonly backlogBytes: number;
  /** `client-output-buffer-limit` of replicas; null when CONFIG may not be read. */
  readonly outputLimit: OutputLimit | null;
  /** `min-replicas-to-write`; null when CONFIG may not be read. */
  readonly minReplicas: number | null;
  /** `repl-diskless-sync`; null when CONFIG may not be read. */
  readonly diskless: boolean | null;
}

/** Bytes that may wait for one client, at once and for how long. 0 is no limit. */
export interface OutputLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softSeconds: number;
}

/**
 * Looks at a node for a while.
 * @param facts - What was read of it before.
 * @param watchMs - How long its write rate is measured.
 * @throws NodeError; the signal's reason.
 */
export async function measureSource(
  client: NodeClient,
  watch: { readonly clock: Clock; readonly watchMs: number; readonly signal: AbortSignal },
  facts?: NodeFacts,
): Promise<SourceLoad> {
  const { clock, watchMs, signal } = watch;
  const config = (facts ?? (await readNodeFacts(client))).config;
  const before = await look(client);
  const beganMs = clock.monotonicMs();
  await clock.sleep(watchMs, signal);
  const after = await look(client);
  const seconds = Math.max(0.001, (clock.monotonicMs() - beganMs) / 1000);
  const rateIsExact = before.backlogActive && after.backlogActive;
  const grown = rateIsExact ? after.offset - before.offset : after.input - before.input;
  const text = config?.['client-output-buffer-limit'];
  const minReplicas = Number(config?.['min-replicas-to-write'] ?? NaN);
  const diskless = config?.['repl-diskless-sync'];
  return {
    writeRate: Math.max(0, grown) / seconds,
    rateIsExact,
    datasetBytes: after.dataset,
    usedMemory: after.used,
    systemMemory: after.system,
    backlogBytes: after.backlogBytes,
    outputLimit: text === undefined ? null : parseOutputLimit(text),
    minReplicas: Number.isSafeInteger(minReplicas) ? minReplicas : null,
    diskless: diskless === undefined ? null : diskless === 'yes',
  };
}

/**
 * The limit of replicas in `client-output-buffer-limit`, e.g.
 * `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`; null when there is none.
 */
export function parseOutputLimit(text: string): OutputLimit | null {
  const words = text.split(/\s+/);
  const at = words.findIndex((word) => word === 'slave' || word === 'replica');
  const [hardBytes = NaN, softBytes = NaN, softSeconds = NaN] = words
    .slice(at + 1, at + 4)
    .map(Number);
  if (at === -1 || ![hardBytes, softBytes, softSeconds].every(Number.isSafeInteger)) return null;
  return { hardBytes, softBytes, softSeconds };
}

async function look(client: NodeClient): Promise<{
  readonly backlogActive: boolean;
  readonly offset: number;
  readonly backlogBytes: number;
  readonly input: number;
  readonly dataset: number;
  readonly used: number;
  readonly system: number;
}> {
  const info = await client.info('replication', 'stats', 'memory');
  const used = info.number('used_memory', 0);
  return {
    backlogActive: info.flag('repl_backlog_active'),
    offset: info.number('master_repl_offset', 0),
    backlogBytes: info.number('repl_backlog_size', 0),
    input: info.number('total_net_input_bytes', 0),
    dataset: info.number('used_memory_dataset', used),
    used,
    system: info.number('total_system_memory', 0),
  };
}
