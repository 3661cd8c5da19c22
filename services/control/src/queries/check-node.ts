import { connectNode, readNodeFacts, takeSample } from '@tidemark/client';
import { NodeError, TidemarkError, type Clock } from '@tidemark/core';
import { instanceTarget, locateNode, type InstanceEntry } from '@tidemark/workspace';
import { checkPsyncNode } from './psync-node.ts';
import { findingText, sourceFindings } from './source-findings.ts';

/** Largest difference between the clocks of host and node that is not remarked on. */
const CLOCK_SKEW_MS_MAX = 1_000;

/** One thing that was looked at, as `doctor` and the API show it. */
export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** Nothing is broken, but something is to be thought of. */
  readonly warning?: boolean;
  readonly detail: string;
}

/** Looks at one thing: what is wrong with it is its finding. */
export async function attempt(check: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { check, ok: true, detail: await work() };
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    const hint = cause.hint === undefined ? '' : ` (${cause.hint})`;
    return { check, ok: false, detail: `${cause.message}${hint}` };
  }
}

/**
 * Whether a node can be captured, and settings of its own that do not fit what it writes.
 * @param filesOf - What there is to say of the folder of its log; not asked of a capture by replication.
 */
export async function nodeFindings(
  entry: InstanceEntry,
  look: {
    readonly configPath: string;
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly filesOf: (aofDir: string) => Promise<string>;
  },
): Promise<readonly Finding[]> {
  const check = `node ${entry.id}`;
  const warnings: string[] = [];
  const finding = await attempt(check, () => tryNode(entry, look, warnings));
  return [finding, ...warnings.map((detail) => ({ check, ok: true, warning: true, detail }))];
}

async function tryNode(
  entry: InstanceEntry,
  { configPath, clock, signal, filesOf }: Parameters<typeof nodeFindings>[1],
  warnings: string[],
): Promise<string> {
  const target = await instanceTarget(entry, configPath);
  using _certificates = target.address.tls;
  await using client = await connectNode(await locateNode(target, signal), { signal });
  const facts = await readNodeFacts(client);
  const before = clock.nowMs();
  const sample = await takeSample(client);
  const halfTripMs = (clock.nowMs() - before) / 2;
  const skewMs = Math.abs(sample.timeUs / 1000 - (before + halfTripMs));
  const skew =
    skewMs > CLOCK_SKEW_MS_MAX ? `; its clock is ${Math.round(skewMs).toString()} ms off ours` : '';
  if (target.aofDir === undefined) {
    await checkPsyncNode(client);
    for (const found of await sourceFindings(client, facts, signal)) {
      warnings.push(findingText(found));
    }
    return `${facts.product} ${facts.version} (${facts.role}), captured by replication${skew}`;
  }
  if (!sample.aofEnabled) {
    throw new NodeError('TM_AOF_OFF', 'the append-only file is off', {
      hint: 'redis-cli CONFIG SET appendonly yes',
    });
  }
  const files = await filesOf(target.aofDir);
  const stamps = facts.config?.['aof-timestamp-enabled'] === 'yes' ? 'on' : 'OFF';
  return `${facts.product} ${facts.version}, ${files}, time stamps ${stamps}${skew}`;
}
