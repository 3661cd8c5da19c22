import type { NodeClient } from '@tidemark/client';
import { commandSource, isForeign, type CommandForm } from '../feed/command-source.ts';
import { knowsCommand, type TargetFacts } from '../target/index.ts';
import type { PreparedPlan } from './prepared-plan.ts';

/**
 * Which way a pair of source and target takes. `native`: the target gets what the source wrote;
 * `native+converted`: in part in another form of the same meaning, since it lacks the first. A pair
 * that has no way is refused by name before the target is touched.
 */
export interface RestorePath {
  readonly name: 'native' | 'native+converted';
  /** Product and version. */
  readonly source: string;
  readonly target: string;
  readonly snapshot: 'as stored' | 'converted';
  /** Commands that are fed in another form or not at all: how many of each name. */
  readonly changedCommands: Readonly<Record<string, number>>;
}

/** Redis 7.4: expiry of hash fields. */
const FIELD_TTL_FROM = 7_04_00;

/** The form of commands that a target needs. */
export function commandForm(facts: TargetFacts): CommandForm {
  const { product, versionNumber, databases, commands } = facts;
  return {
    target: { product, versionNumber, databases, commands },
    guardFieldPersist: product === 'redis' && versionNumber >= FIELD_TTL_FROM,
  };
}

/**
 * Finds the path of a plan into a target. Nothing is sent to the target.
 *
 * A target of the same product that is at least as new knows every command of the log, and what it
 * does not know all the same (a module's command) is met by the feed. For any other target the whole
 * log is read once before: a command that it cannot run is found while its data are still there.
 * @param snapshotConverted - Whether the snapshot goes in another form than it is stored in.
 * @throws PlanError `TM_TARGET_COMMAND`, `TM_TARGET_DATABASES`.
 */
export async function choosePath(
  { plan, reader }: PreparedPlan,
  { facts, client }: { readonly facts: TargetFacts; readonly client: NodeClient },
  snapshotConverted: boolean,
): Promise<RestorePath> {
  const changed = new Map<string, number>();
  if (isForeign(plan, commandForm(facts))) {
    const commands = commandSource(plan, reader, commandForm(facts), {
      knowsCommand: (name) => knowsCommand(client, name),
      onChange: (name) => changed.set(name, (changed.get(name) ?? 0) + 1),
    });
    const iterator = commands[Symbol.asyncIterator]();
    while ((await iterator.next()).done !== true);
  }
  return {
    name: snapshotConverted || changed.size > 0 ? 'native+converted' : 'native',
    source: `${plan.source.product} ${plan.source.version}`.trim(),
    target: `${facts.product} ${facts.version}`,
    snapshot: snapshotConverted ? 'converted' : 'as stored',
    changedCommands: Object.fromEntries([...changed].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
