import { factsDocument, printableText } from '@tidemark/control';
import type { FactsReport } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { parseTime } from '../time.ts';

/** Shows what a node was beside its data: version, modules, settings, users. No secrets. */
export async function showFacts(
  id: string,
  options: { readonly at?: string },
  invocation: Invocation,
): Promise<void> {
  const wanted = parseTime(options.at ?? 'latest', systemClock.nowMs());
  using workspace = await Workspace.open(invocation);
  const { printer, signal } = invocation;
  await workspace.sync(signal, id);
  const second = wanted === 'latest' ? null : wanted.second;
  const document = await factsDocument(id, second, workspace, signal);
  const { taken, product, version, modules, commands, config, secrets, users, unread } = document;
  printer.result(document, () => [
    `${id}: ${product} ${version}, as of ${taken}`,
    `modules: ${modules?.map(({ name }) => printableText(name)).join(', ') || 'none'}; commands: ${commands?.toString() ?? 'not read'}`,
    ...unread.map(({ part, code }) => `not read: ${part} (${code})`),
    ...(secrets.length === 0 ? [] : [`set, but not stored: ${secrets.join(', ')}`]),
    ...(users === null
      ? []
      : [
          '',
          ...table(
            ['USER', 'RULES'],
            users.map(({ name, rules }) => [name, rules]),
          ),
        ]),
    ...(config === null ? [] : ['', ...table(['SETTING', 'VALUE'], Object.entries(config))]),
  ]);
}

/** What a restore did with the users and settings of the node, for people. */
export function factsText(facts: FactsReport | null, planned: boolean): string[] {
  if (facts === null) return [];
  const lines = [`facts of ${facts.node}, as of ${facts.taken}`];
  if (planned && facts.acl === null && facts.config === null) {
    return [...lines, 'what would be written of them depends on the target: name it with --to'];
  }
  for (const [what, part] of [
    ['users', facts.acl],
    ['settings', facts.config],
  ] as const) {
    if (part === null) continue;
    const { written, same, left } = part;
    const names = written.length === 0 ? 'none' : written.join(', ');
    lines.push(
      `${what} ${planned ? 'to be written' : 'written'}: ${names} (${same.toString()} were the same)`,
    );
    for (const { name, reason } of left) lines.push(`  left: ${name}: ${reason}`);
  }
  return lines;
}
