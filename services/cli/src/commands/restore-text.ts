import type { RestoreReport, SkippedKey } from '@tidemark/restorer';
import { countOf, sizeOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';
import { factsText } from './facts.ts';
import { ttlLine } from './ttl-flag.ts';
import { vanishingText } from './vanishing-text.ts';

/** Which way the data takes into the target. */
function pathText({ path }: RestoreReport): string[] {
  if (path === null) return [];
  const changed = Object.entries(path.changedCommands).map(
    ([name, count]) => `${count.toString()} ${name.toUpperCase()}`,
  );
  const forms = [
    ...(path.snapshot === 'converted' ? ['the snapshot'] : []),
    ...(changed.length > 0 ? [changed.join(', ')] : []),
  ];
  const converted = forms.length === 0 ? '' : `, in another form: ${forms.join('; ')}`;
  return [`path: ${path.name}, ${path.source} to ${path.target}${converted}`];
}

/**
 * A report for people.
 * @param isNew - The target was started for it, in the folder of its id: `servers end` ends it.
 */
export function reportText(
  id: string,
  report: RestoreReport,
  configPath: string,
  isNew = false,
): string[] {
  const { cut, at, target, keys, commands, bytes, elapsedSeconds, ttl } = report;
  const gone = {
    count: report.vanishing,
    bound: report.vanishingBound,
    sample: report.vanishingSample,
  };
  const where = at ?? `offset ${cut.offset}`;
  const again = `tidemark -c ${configPath} restore ${id}`;
  switch (report.state) {
    case 'planned':
      return [
        `plan: ${id} at ${where}, timeline ${cut.timeline}, offset ${cut.offset}`,
        `to read and feed: ${formatBytes(bytes)}, up to ${countOf(commands, 'command')}, ${countOf(keys, 'key')} in the snapshot`,
        ...selectionText(report),
        ttlLine(ttl),
        ...vanishingText(gone, 'would go at once', ttl),
        ...pathText(report),
        ...factsText(report.facts, true),
        'everything needed is there and whole; nothing was written',
      ];
    case 'nothing':
      return [
        `nothing to do: at ${where} there was no selected key; nothing was written`,
        ...selectionText(report),
      ];
    case 'aborted':
      // With a warning the target was not ours any more, and was left as it is.
      return [
        `restore ${report.id} was called off` +
          (report.warnings.length === 0 ? '; nothing of it is left in the target' : ''),
      ];
    default:
      return [
        `${id} at ${where} is in ${target}: ${countOf(keys, 'key')}, ${countOf(commands, 'command')} replayed, ` +
          `${formatBytes(bytes)} in ${elapsedSeconds.toFixed(1)} s`,
        ...selectionText(report),
        ...skipText(report),
        ttlLine(ttl),
        ...vanishingText(gone, report.state === 'replayed' ? 'go at the promotion' : 'go now', ttl),
        ...factsText(report.facts, false),
        ...(isNew && report.state === 'succeeded'
          ? [`it runs until it is ended: tidemark -c ${configPath} servers end ${report.id}`]
          : []),
        ...(report.state === 'replayed'
          ? [
              'not promoted: it is no master yet',
              `to promote it: ${again} --resume ${report.id}`,
              `to call it off: ${again} --abort ${report.id}`,
            ]
          : []),
      ];
  }
}

/** What was selected, and how little of the log that took. */
function selectionText({ selection }: RestoreReport): string[] {
  if (selection === null) return [];
  const { followed, logBytes, indexBytes, frameBytes } = selection;
  const others =
    followed === 0 ? '' : `, and ${countOf(followed, 'other key')} that they were made from`;
  return [
    `selected: ${selection.keys}${others}`,
    `read of the log: ${sizeOf(indexBytes + frameBytes, logBytes)}`,
  ];
}

/** Names of a list of keys that are shown. */
const NAMED_MAX = 5;

/** What was left out, and which keys that concerns. */
function skipText({ skip, selection }: RestoreReport): string[] {
  if (skip === null) return [];
  const { commands, wrote, wroteCount, wroteDatabases, readers, readersCount } = skip;
  const databases =
    wroteDatabases === 'all'
      ? 'every database'
      : wroteDatabases.map((db) => `database ${db.toString()}`).join(', ');
  const named = (keys: readonly SkippedKey[], count: number): string =>
    keys
      .slice(0, NAMED_MAX)
      .map(({ key }) => key)
      .join(', ') + (count > NAMED_MAX ? ', …' : '');
  const written = [
    ...(databases === '' ? [] : [databases]),
    ...(wroteCount === 0 ? [] : [`${countOf(wroteCount, 'key')} (${named(wrote, wroteCount)})`]),
  ];
  return [
    commands === 0
      ? 'left out: nothing that a selected key was made from'
      : `left out: ${countOf(commands, 'command')}, which wrote ${written.join(' and ') || (selection === null ? 'no key' : 'no selected key')}`,
    ...(readersCount === 0
      ? []
      : [
          `made from that later: ${countOf(readersCount, 'key')} (${named(readers, readersCount)})`,
        ]),
  ];
}
