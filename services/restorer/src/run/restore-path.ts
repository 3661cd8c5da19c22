import type { CommandForm } from '../feed/command-source.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import type { TargetFacts } from '../target/index.ts';

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

/** The path of a plan into a target, when it is known what goes in another form. */
export function pathOf(
  { source }: RestorePlan,
  { product, version }: TargetFacts,
  changed: {
    readonly snapshot: boolean;
    readonly commands: Readonly<Record<string, number>>;
  },
): RestorePath {
  const { snapshot, commands } = changed;
  return {
    name: snapshot || Object.keys(commands).length > 0 ? 'native+converted' : 'native',
    source: `${source.product} ${source.version}`.trim(),
    target: `${product} ${version}`,
    snapshot: snapshot ? 'converted' : 'as stored',
    changedCommands: commands,
  };
}
