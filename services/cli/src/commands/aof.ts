import { FormatError } from '@tidemark/core';
import type { Invocation } from '../invocation.ts';
import { type AofFolder, findAof } from '../files/aof-folder.ts';
import { checkAofPart, type PartReport } from '../files/check-aof-part.ts';
import { table } from '../output/table.ts';
import { formatSecond } from '../time.ts';

/** What to do about a state, by the words of what a server does with it. */
const HINTS: Readonly<Record<string, string>> = {
  torn: 'a server that starts with aof-load-truncated yes cuts its last file there; on a running one it may be a write under way: check again',
  'open-multi':
    'a server that starts cuts its last file before that MULTI; on a running one the EXEC may be under way: check again',
  garbage: 'no server starts with it; what stands before that byte is good',
  'damaged-rdb': 'no server starts with it; restore the file from a copy',
  missing: 'no server starts with it; on a running one a rewrite may just have ended: check again',
};

/** Checks all files of an AOF; ends with an error when one is not whole. */
export async function checkAof(path: string, invocation: Invocation): Promise<void> {
  const { folder, reports } = await checkAll(path, invocation);
  const failed = reports.filter(isFatal);
  const document = {
    manifest: folder.manifest,
    sound: failed.length === 0,
    files: reports.map(fileDocument),
  };
  invocation.printer.result(document, () => [
    ...table(
      ['FILE', 'ROLE', 'BYTES', 'RDB', 'COMMANDS', 'STATE'],
      reports.map(({ part, bytes, rdbBytes, log, state }) => [
        part.name,
        part.role,
        bytes.toString(),
        rdbBytes === 0 ? '-' : rdbBytes.toString(),
        log === null ? '-' : log.commands.toString(),
        state,
      ]),
    ),
    ...reports.flatMap(remarks),
  ]);
  endWith(failed);
}

/** Shows which seconds each file of an AOF covers. */
export async function showAofTimeline(path: string, invocation: Invocation): Promise<void> {
  const { folder, reports } = await checkAll(path, invocation);
  const rows = timeline(reports);
  invocation.printer.result({ manifest: folder.manifest, files: rows }, () => [
    ...table(
      ['FILE', 'FIRST (UTC)', 'LAST (UTC)', 'SECONDS', 'COMMANDS', 'BYTES', 'FROM', 'TO'],
      rows.map((row) => [
        row.name,
        row.first ?? '-',
        row.last ?? '-',
        row.seconds.toString(),
        row.commands.toString(),
        row.commandBytes.toString(),
        row.startOffset.toString(),
        row.endOffset.toString(),
      ]),
    ),
    ...(rows.some(({ first }) => first !== null)
      ? []
      : ['no second is known: the server wrote no #TS lines (aof-timestamp-enabled no)']),
    ...rows
      .filter(({ stepsBack }) => stepsBack > 0)
      .map(
        ({ name, stepsBack }) =>
          `${name}: the time goes back ${stepsBack.toString()} times (a restart, or a clock put back)`,
      ),
    ...reports.flatMap(remarks),
  ]);
  endWith(reports.filter(isFatal));
}

interface Checked {
  readonly folder: AofFolder;
  readonly reports: readonly PartReport[];
}

async function checkAll(path: string, invocation: Invocation): Promise<Checked> {
  const folder = await findAof(path);
  const reports: PartReport[] = [];
  for (const part of folder.parts) reports.push(await checkAofPart(part, invocation));
  return { folder, reports };
}

/** A history file is not loaded: what is wrong with it harms nobody. */
const isFatal = ({ part, fault }: PartReport): boolean => fault !== null && part.role !== 'history';

function endWith(failed: readonly PartReport[]): void {
  const [first] = failed;
  if (first?.fault == null) return;
  const { part, fault, state } = first;
  const { code, message, offset } = fault;
  const where = offset === null ? '' : ` at byte ${offset.toString()} of ${part.name}`;
  throw new FormatError(code, `${message}${where}`, {
    context: { file: part.name, ...(offset === null ? {} : { offset }), faults: failed.length },
    hint: HINTS[state] ?? '',
  });
}

function remarks({ part, state, fault, log }: PartReport): string[] {
  const lines: string[] = [];
  if (fault !== null) {
    const where = fault.offset === null ? '' : ` at byte ${fault.offset.toString()}`;
    lines.push(`${part.name}: ${state}${where}: ${fault.message} (${fault.code})`);
  }
  const unknown = log?.annotations.unknown ?? 0;
  if (unknown > 0) {
    const first = String(log?.annotations.firstUnknownAt);
    lines.push(
      `${part.name}: ${unknown.toString()} annotations of a kind not known, the first at byte ${first}`,
    );
  }
  return lines;
}

function fileDocument({ part, state, bytes, rdbBytes, rdbKeys, log, fault }: PartReport): object {
  const { name, role, seq } = part;
  return { ...{ name, role, seq, state, bytes, rdbBytes, rdbKeys, fault }, log };
}

interface TimelineRow {
  readonly name: string;
  readonly role: string;
  readonly seq: number | null;
  /** First and last second of the #TS lines. */
  readonly first: string | null;
  readonly last: string | null;
  /** Seconds from the first to the last. */
  readonly seconds: number;
  /** #TS lines. */
  readonly stamps: number;
  readonly stepsBack: number;
  readonly commands: number;
  readonly bytes: number;
  readonly commandBytes: number;
  /** Bytes of commands before the file and at its end, counted over all files. */
  readonly startOffset: number;
  readonly endOffset: number;
  /** Offset of the replication stream, as the manifest says (Redis 8.0 and newer). */
  readonly replicationOffset: string | null;
}

function timeline(reports: readonly PartReport[]): TimelineRow[] {
  let offset = 0;
  return reports
    .filter(({ part }) => part.role !== 'history')
    .map(({ part, log, bytes }) => {
      const startOffset = offset;
      offset += log?.commandBytes ?? 0;
      const [first, last] = [log?.firstSecond ?? null, log?.lastSecond ?? null];
      return {
        ...{ name: part.name, role: part.role, seq: part.seq },
        first: timeOf(first),
        last: timeOf(last),
        seconds: first === null || last === null ? 0 : Math.max(0, last - first) + 1,
        stamps: log?.annotations.seconds ?? 0,
        stepsBack: log?.stepsBack ?? 0,
        commands: log?.commands ?? 0,
        ...{ bytes, commandBytes: log?.commandBytes ?? 0 },
        ...{ startOffset, endOffset: offset, replicationOffset: part.startOffset },
      };
    });
}

/** A time of the calendar, or the number where a calendar has none. */
function timeOf(second: number | null): string | null {
  if (second === null) return null;
  return second <= 8.64e12 ? formatSecond(second) : String(second);
}
