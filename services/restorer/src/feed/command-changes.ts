import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { commandSource, isForeign, type CommandForm } from './command-source.ts';

/**
 * Reads a log for the commands that a target needs in another form. Nothing is sent.
 *
 * A target of the same product that is at least as new knows every command of the log, and what it
 * does not know all the same (a module's command) is met by the feed. For any other target the whole
 * log is read once before: a command that it cannot run is found while its data are still there.
 * @returns How many commands of each name, in the order of the names.
 * @throws PlanError `TM_TARGET_COMMAND`, `TM_TARGET_DATABASES`.
 */
export async function commandChanges(
  { plan, reader }: { readonly plan: RestorePlan; readonly reader: ObjectReader },
  form: CommandForm,
  knowsCommand: (name: string) => Promise<boolean>,
): Promise<Readonly<Record<string, number>>> {
  const changed = new Map<string, number>();
  if (isForeign(plan, form)) {
    const commands = commandSource(plan, reader, form, {
      knowsCommand,
      onChange: (name) => changed.set(name, (changed.get(name) ?? 0) + 1),
    });
    const iterator = commands[Symbol.asyncIterator]();
    while ((await iterator.next()).done !== true);
  }
  return Object.fromEntries([...changed].sort(([a], [b]) => (a < b ? -1 : 1)));
}
