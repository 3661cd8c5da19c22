import {
  revokeTombstone,
  runRetention,
  type Marked,
  type RetentionReport,
} from '@tidemark/archiver';
import { UsageError } from '@tidemark/core';
import { expireUndoPacks } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { retentionRules, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { formatBytes, table } from '../output/table.ts';
import { formatSecond } from '../time.ts';

/** Flags of `tidemark expire` as commander gives them. */
export interface ExpireFlags {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly revoke?: boolean;
}

/** Lets go of what the policy keeps no longer, says what would go, or takes a mark back. */
export async function expire(
  id: string,
  flags: ExpireFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  using workspace = await Workspace.open(invocation);
  const { store, keys, catalog, config } = workspace;
  await workspace.sync(signal, id);
  if (!catalog.instances().some(({ iid }) => iid === id)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const ports = { store, keys, catalog, signal, clock: systemClock, random: systemRandom };
  if (flags.revoke === true) {
    const tombstone = await revokeTombstone(id, ports);
    printer.result({ instance: id, revoked: tombstone }, () => [
      tombstone === null
        ? 'nothing is marked that could be taken back'
        : `${tombstone} is taken back: all of it can be restored again, until retention runs next`,
    ]);
    return;
  }
  const rules = retentionRules(config);
  const report = await runRetention(
    {
      ...rules,
      ...(flags.force === true && { shareMax: 1 }),
      ...{ instance: id, stateDir: config.stateDir, dryRun: flags.dryRun === true },
    },
    ports,
  );
  const warn = (message: string): void => printer.warn(message);
  const undoPacks = await expireUndoPacks(id, flags.dryRun === true, { ...ports, warn });
  printer.result({ ...documentOf(report), undoPacks }, () => [
    ...expireText(report, invocation.configPath),
    ...(undoPacks.length === 0
      ? []
      : [
          `undo packs over their time, ${flags.dryRun === true ? 'to be deleted' : 'deleted'}: ${undoPacks.join(', ')}`,
        ]),
  ]);
}

function documentOf({ marked, standing, ...report }: RetentionReport): object {
  return {
    ...report,
    standing: standing && {
      tombstone: standing.tombstone,
      ...{ objects: standing.objects, bytes: standing.bytes, begun: standing.begun },
      due: iso(standing.dueMs),
    },
    marked: marked && {
      tombstone: marked.tombstone,
      ...marked.amount,
      limited: marked.limited,
      due: iso(marked.dueMs),
      earliestBefore: secondOf(marked.earliestBefore),
      earliestAfter: secondOf(marked.earliestAfter),
      steps: marked.steps.map(({ shard, floor, amount, backups }) => ({
        ...{ shard, writer: floor.writer, timeline: floor.timeline },
        ...{ offset: floor.offset.toString(), ...amount, backups },
      })),
      dropped: marked.dropped.map(({ backup, amount }) => ({ backup, ...amount })),
      logs: marked.cuts.map(({ shard, writer, seq, entries }) => ({
        ...{ shard, writer, upTo: seq, entries: entries.objects, bytes: entries.bytes },
      })),
      unnamed: marked.unnamed,
    },
  };
}

/** A retention run for people. */
export function expireText(report: RetentionReport, configPath: string): string[] {
  const { instance, dryRun, standing, revoked, deleted, marked } = report;
  const lines = [`${instance}: ${keptText(report)}`];
  if (deleted !== null) {
    lines.push(
      `deleted: ${countOf(deleted.objects, 'object')} (${formatBytes(deleted.bytes)}), ${countOf(deleted.logEntries, 'log entry')}, ` +
        `${countOf(deleted.checkpoints, 'checkpoint')}, ${countOf(deleted.dataKeys, 'data key')}`.replace(
          'entrys',
          'entries',
        ),
    );
    if (deleted.locked > 0) {
      lines.push(
        `the store holds ${countOf(deleted.locked, 'object')} (Object Lock): deleted later`,
      );
    }
  }
  if (revoked !== null) lines.push(`${revoked} is taken back: what it had marked is needed again`);
  if (marked !== null) lines.push(...markedText(marked, dryRun));
  else if (standing === null) lines.push('nothing to do: everything that is stored is needed');
  if (standing !== null && marked?.tombstone == null) {
    const what = `${countOf(standing.objects, 'object')} (${formatBytes(standing.bytes)})`;
    lines.push(
      standing.begun
        ? `${what} of ${standing.tombstone} are being deleted`
        : `${what} are marked by ${standing.tombstone}, to be deleted from ${iso(standing.dueMs)} on`,
    );
  }
  if (!dryRun && marked?.tombstone != null) {
    lines.push(`to take it back until then: tidemark -c ${configPath} expire ${instance} --revoke`);
  }
  return lines;
}

function keptText({ retainSeconds, keepLast, retainedBy }: RetentionReport): string {
  const who =
    retainedBy === 'host' ? 'the configuration of this host' : 'the policy of the instance';
  const backups = keepLast > 1 ? `, and the newest ${countOf(keepLast, 'backup')}` : '';
  return `kept by ${who}: ${durationOf(retainSeconds)}, as far as they were captured${backups}`;
}

function markedText(marked: Marked, dryRun: boolean): string[] {
  const { steps, dropped, cuts, unnamed, amount, limited } = marked;
  const { dueMs, earliestBefore, earliestAfter } = marked;
  const rows = [
    ...steps.map(({ shard, floor, amount: { objects, bytes }, backups }) => [
      `shard ${shard}, up to ${floor.timeline} offset ${floor.offset.toString()}`,
      ...[objects.toString(), formatBytes(bytes)],
      `older than the retention; ${countOf(backups.length, 'backup')}`,
    ]),
    ...dropped.map(({ backup, amount: { objects, bytes } }) => [
      `backup ${backup}`,
      ...[objects.toString(), formatBytes(bytes)],
      'deleted, and nothing that is kept needs it',
    ]),
    ...cuts.map(({ writer, seq, entries }) => [
      `log of ${writer}, up to entry ${seq.toString()}`,
      ...[entries.objects.toString(), formatBytes(entries.bytes)],
      'a checkpoint stands for them',
    ]),
    ...(unnamed === null
      ? []
      : [
          [
            'objects that no log names',
            ...[unnamed.objects.toString(), formatBytes(unnamed.bytes)],
            'merged, or never finished',
          ],
        ]),
  ];
  const would = dryRun ? 'would be marked' : 'marked';
  const edge = (second: number | null): string => secondOf(second) ?? 'none';
  return [
    ...(rows.length === 0 ? [] : table(['WHAT', 'OBJECTS', 'SIZE', 'WHY'], rows)),
    ...(rows.length === 0
      ? []
      : [
          `${would}: ${countOf(amount.objects, 'object')} of history (${formatBytes(amount.bytes)}); hidden at once, deleted from ${iso(dueMs)} on`,
        ]),
    `earliest restorable second: ${edge(earliestBefore)} before, ${edge(earliestAfter)} after`,
    ...(limited
      ? [
          'more is over the retention than one run may let go: later runs go on, or --force does it now',
        ]
      : []),
  ];
}

function secondOf(second: number | null): string | null {
  return second === null ? null : formatSecond(second);
}

function iso(ms: number): string {
  return formatSecond(Math.floor(ms / 1000));
}

function durationOf(seconds: number): string {
  const units = [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'm'],
  ] as const;
  const [size, unit] = units.find(([each]) => seconds % each === 0) ?? [1, 's'];
  return `${(seconds / size).toString()}${unit}`;
}
