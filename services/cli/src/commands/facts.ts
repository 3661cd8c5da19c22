import { readFactsAt, type FactsReport } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { formatSecond, parseTime } from '../time.ts';

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
  const { store, keys, catalog } = workspace;
  // The whole of the second counts.
  const atMs = wanted === 'latest' ? null : wanted.second * 1000 + 999;
  const { facts, takenMs } = await readFactsAt(id, atMs, { store, keys, catalog, signal });
  const taken = formatSecond(Math.floor(takenMs / 1000));
  const { product, version, modules, commands, config, secrets, unread } = facts;
  const users = facts.acl?.map(({ name, rules }) => ({
    name: printable(name),
    rules: shownRules(rules),
  }));
  const settings = Object.entries(config ?? {}).map(([name, value]) => ({
    name: printable(name),
    value: printable(value),
  }));
  const document = {
    instance: id,
    taken,
    product,
    version,
    modules,
    commands: commands?.length ?? null,
    config: config && Object.fromEntries(settings.map(({ name, value }) => [name, value] as const)),
    secrets,
    users: users ?? null,
    unread,
  };
  printer.result(document, () => [
    `${id}: ${product} ${version}, as of ${taken}`,
    `modules: ${modules?.map(({ name }) => printable(name)).join(', ') || 'none'}; commands: ${commands?.length.toString() ?? 'not read'}`,
    ...unread.map(({ part, code }) => `not read: ${part} (${code})`),
    ...(secrets.length === 0 ? [] : [`set, but not stored: ${secrets.join(', ')}`]),
    ...(users === undefined
      ? []
      : [
          '',
          ...table(
            ['USER', 'RULES'],
            users.map(({ name, rules }) => [name, rules]),
          ),
        ]),
    ...(config === null
      ? []
      : [
          '',
          ...table(
            ['SETTING', 'VALUE'],
            settings.map(({ name, value }) => [name, value]),
          ),
        ]),
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

/** The rules of a user, printable, without the hashes of passwords: nobody needs to see them. */
export function shownRules(rules: string): string {
  return printable(rules).replace(/#[0-9a-f]{64}/g, '#…');
}

/** A text of bytes: as UTF-8 where it is that, and what could move a terminal's cursor escaped. */
function printable(bytes: string): string {
  return Buffer.from(bytes, 'latin1')
    .toString('utf8')
    .replace(
      /[\p{Cc}\ufffd]/gu,
      (char) => `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`,
    );
}
