import type { KeyRule, SelectorSpec } from '@tidemark/selector';
import type { Closure } from '../../services/restorer/src/closure/closure.ts';
import { commandSource } from '../../services/restorer/src/feed/command-source.ts';
import type { WantedPlan } from '../../services/restorer/src/run/prepared-plan.ts';
import { openPlanned } from './opened-plan.ts';
import { collect } from './segments.ts';
import { ARCHIVED, type TestArchive } from './test-archive.ts';

const FORM = {
  target: { product: 'redis', versionNumber: 8_06_03, databases: 16, commands: null },
  guardFieldPersist: false,
} as const;

/** A selection of keys by name, or by rules. */
export function selecting(...include: readonly (string | KeyRule)[]): SelectorSpec {
  return {
    include: include.map((rule) =>
      typeof rule === 'string' ? { kind: 'key', key: Buffer.from(rule, 'latin1') } : rule,
    ),
    exclude: [],
    dbs: null,
    excludeDbs: [],
    types: null,
    excludeTypes: [],
  };
}

/** What a selection makes of an archive. */
export interface SelectedLog {
  readonly closure: Closure;
  readonly backup: string;
  /** The commands that are fed. */
  readonly fed: Buffer;
}

/** Selects from all that an archive holds, without a target. */
export async function selectFrom(
  archive: TestArchive,
  selector: SelectorSpec,
  changes: Partial<WantedPlan> = {},
): Promise<SelectedLog> {
  const request: WantedPlan = {
    instance: ARCHIVED,
    point: { kind: 'offset', offset: archive.end, timeline: null },
    ttl: { mode: 'absolute' },
    selector,
    ...changes,
  };
  using opened = await openPlanned(request, await archive.environment());
  const { plan, reader } = opened;
  if (plan.closure === null) throw new Error('nothing was selected');
  const fed = await collect(commandSource(plan, reader, FORM));
  return { closure: plan.closure, backup: plan.snapshot.backup, fed };
}

/** The commands that a restore of everything feeds. */
export async function feedAll(archive: TestArchive): Promise<Buffer> {
  const request: WantedPlan = {
    instance: ARCHIVED,
    point: { kind: 'offset', offset: archive.end, timeline: null },
    ttl: { mode: 'absolute' },
  };
  using opened = await openPlanned(request, await archive.environment());
  return await collect(commandSource(opened.plan, opened.reader, FORM));
}
