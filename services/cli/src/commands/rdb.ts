import { FormatError, UsageError } from '@tidemark/core';
import {
  isEntry,
  LargestEntries,
  type LargeEntry,
  type RdbBatch,
  type RdbCheck,
  RdbChecker,
  RdbSurvey,
  ROW,
  VALUE_KINDS,
  valueKind,
  type ValueKind,
} from '@tidemark/rdb';
import type { Invocation } from '../invocation.ts';
import { readInput } from '../files/input-file.ts';
import { refuseSealed } from '../files/refuse-sealed.ts';
import { countOf } from '../output/count.ts';
import { LineWriter } from '../output/line-writer.ts';
import { shownKey } from '../output/shown-key.ts';
import { formatBytes, table } from '../output/table.ts';

/** Options of `tidemark rdb keys`. */
export interface KeysFlags {
  readonly db?: string;
  readonly type?: string;
  readonly limit?: string;
}

/** Options of `tidemark rdb big-keys`. */
export interface BigKeysFlags {
  readonly top: string;
  readonly type?: string;
}

const TOP_MAX = 10_000;

/** Checks a file through and through; ends with an error at the first fault. */
export async function checkRdb(
  path: string,
  flags: { readonly structureOnly: boolean },
  invocation: Invocation,
): Promise<void> {
  const checker = new RdbChecker({ values: !flags.structureOnly });
  const check = await runChecker(checker, path, invocation);
  invocation.printer.result({ file: path, sound: true, ...check }, () => [
    `${path} is sound`,
    ...factLines(check),
    ...(flags.structureOnly ? ['values     not looked into'] : valueLines(check)),
  ]);
}

/** Shows what a file holds. */
export async function showRdb(path: string, invocation: Invocation): Promise<void> {
  const survey = new RdbSurvey();
  const onBatch = (batch: RdbBatch): void => {
    survey.addBatch(batch);
  };
  const check = await runChecker(new RdbChecker({ values: false, onBatch }), path, invocation);
  const { kinds, largest } = survey;
  const { product, version, bytes, checksum, aux, minVersion, fieldTtl, keyMeta } = check;
  const document = {
    file: path,
    ...{ product, version, writer: writerOf(check), bytes, checksum },
    ...{ keys: check.keys, expires: check.expires, databases: check.databases, kinds },
    ...{ functions: check.functions, modules: check.modules, fieldTtl, keyMeta, minVersion },
    largest: largest === null ? null : entryDocument(largest),
    aux,
  };
  invocation.printer.result(document, () => [
    ...factLines(check),
    `functions  ${check.functions.toString()}`,
    `modules    ${check.modules.length === 0 ? 'none' : check.modules.join(', ')}`,
    ...(largest === null
      ? []
      : [
          `largest    ${formatBytes(largest.bytes)}: ${largest.kind} ${shownKey(largest.key)} in db ${largest.db.toString()}`,
        ]),
    ...Object.entries(aux).map(([name, value]) => `aux        ${name} = ${value}`),
    '',
    ...table(
      ['TYPE', 'KEYS', 'EXPIRING', 'BYTES'],
      kinds.map(({ kind, ...counts }) => [
        kind,
        counts.keys.toString(),
        counts.expires.toString(),
        counts.bytes.toString(),
      ]),
    ),
    '',
    ...table(
      ['DB', 'KEYS', 'EXPIRING'],
      check.databases.map(({ db, keys, expires }) => [db, keys, expires].map(String)),
    ),
  ]);
}

/** Lists the keys of a file, as they come: one line each, never all at once. */
export async function listRdbKeys(
  path: string,
  flags: KeysFlags,
  invocation: Invocation,
): Promise<void> {
  const db = flags.db === undefined ? null : wholeNumber('--db', flags.db, 2_147_483_647);
  const limit =
    flags.limit === undefined
      ? Infinity
      : wholeNumber('--limit', flags.limit, Number.MAX_SAFE_INTEGER);
  const kind = flags.type === undefined ? null : kindOf(flags.type);
  const lines = new LineWriter();
  const json = invocation.printer.format === 'json';
  if (!json) lines.line('DB\tTYPE\tBYTES\tEXPIRY\tKEY');
  let listed = 0;
  const onBatch = (batch: RdbBatch): void => {
    for (let row = 0; row < batch.count && listed < limit; row += 1) {
      const type = batch.type[row] as number;
      if (!isEntry(type) || (db !== null && batch.db[row] !== db)) continue;
      if (kind !== null && valueKind(type) !== kind) continue;
      lines.line(json ? JSON.stringify(entryDocument(entryAt(batch, row))) : keyLine(batch, row));
      listed += 1;
    }
  };
  const checker = new RdbChecker({ values: false, onBatch });
  try {
    for await (const chunk of refuseSealed(path, readInput(path, invocation))) {
      checker.push(chunk);
      await lines.flush(invocation.signal);
      if (listed >= limit || lines.closed) return;
    }
    checker.end();
  } finally {
    // What stands before a fault is listed all the same.
    await lines.flush(invocation.signal);
  }
}

/** Shows the entries of each type that take most bytes. */
export async function showBigKeys(
  path: string,
  flags: BigKeysFlags,
  invocation: Invocation,
): Promise<void> {
  const top = wholeNumber('--top', flags.top, TOP_MAX);
  const wanted = flags.type === undefined ? VALUE_KINDS : [kindOf(flags.type)];
  const largest = new LargestEntries(Math.max(top, 1));
  const onBatch = (batch: RdbBatch): void => {
    largest.addBatch(batch);
  };
  await runChecker(new RdbChecker({ values: false, onBatch }), path, invocation);
  const entries = wanted.flatMap((kind) => largest.list(kind).slice(0, top));
  invocation.printer.result({ file: path, top, entries: entries.map(entryDocument) }, () =>
    table(
      ['TYPE', 'BYTES', 'DB', 'EXPIRY', 'KEY'],
      entries.map((entry) => [
        entry.kind,
        entry.bytes.toString(),
        entry.db.toString(),
        expiryText(entry.expiryMs) ?? '-',
        shownKey(entry.key),
      ]),
    ),
  );
}

async function runChecker(
  checker: RdbChecker,
  path: string,
  invocation: Invocation,
): Promise<RdbCheck> {
  try {
    for await (const chunk of refuseSealed(path, readInput(path, invocation))) checker.push(chunk);
    return checker.end();
  } catch (error) {
    const { faultKey } = checker;
    if (faultKey === null || !(error instanceof FormatError)) throw error;
    const { code, message, context, hint = '' } = error;
    const where = `it is in the value of key ${shownKey(faultKey)} of db ${String(context['db'])}`;
    throw new FormatError(code, message, {
      context,
      hint: hint === '' ? where : `${where}; ${hint}`,
      cause: error,
    });
  }
}

function factLines(check: RdbCheck): string[] {
  const databases = check.databases.length;
  return [
    `written by ${writerOf(check) ?? check.product}, RDB version ${check.version.toString()}`,
    `size       ${formatBytes(check.bytes)} (${check.bytes.toString()} bytes)`,
    `keys       ${check.keys.toString()} in ${countOf(databases, 'database')}, ${check.expires.toString()} with an expiry`,
    check.checksum === 'verified' ? 'checksum   holds' : 'checksum   none: the writer put none',
  ];
}

function valueLines({ valuesChecked, valuesPassed, collectionsNotCompared }: RdbCheck): string[] {
  return [
    `values     ${valuesChecked.toString()} looked into`,
    ...(valuesPassed === 0
      ? []
      : [
          `           ${valuesPassed.toString()} strings over 32 MiB are whole, but were not looked into`,
        ]),
    ...(collectionsNotCompared === 0
      ? []
      : [
          `           ${collectionsNotCompared.toString()} collections of over a million members: repeated ones not looked for to the end`,
        ]),
  ];
}

/** Product and version of the server that wrote the file, as it says itself. */
function writerOf({ aux }: RdbCheck): string | null {
  const valkey = aux['valkey-ver'];
  if (valkey !== undefined) return `valkey ${valkey}`;
  const redis = aux['redis-ver'];
  return redis === undefined ? null : `redis ${redis}`;
}

type Entry = Omit<LargeEntry, 'kind'>;

function entryAt(batch: RdbBatch, row: number): Entry {
  const key = batch.keyOf(row);
  const offset = batch.start[row] as number;
  const hasExpiry = ((batch.flags[row] as number) & ROW.hasExpiry) !== 0;
  return {
    type: batch.type[row] as number,
    db: batch.db[row] as number,
    key,
    keyBytes: key.length,
    bytes: (batch.end[row] as number) - offset,
    expiryMs: hasExpiry ? (batch.expiryMs[row] as number) : null,
    offset,
  };
}

function entryDocument({ type, db, key, keyBytes, bytes, expiryMs, offset }: Entry): object {
  return {
    ...{ db, type: valueKind(type), encoding: type, key: shownKey(key), keyBytes, bytes },
    ...{ expiryMs, offset },
  };
}

function keyLine(batch: RdbBatch, row: number): string {
  const bytes = (batch.end[row] as number) - (batch.start[row] as number);
  const hasExpiry = ((batch.flags[row] as number) & ROW.hasExpiry) !== 0;
  const expiry = hasExpiry ? (expiryText(batch.expiryMs[row] as number) ?? '-') : '-';
  const kind = valueKind(batch.type[row] as number);
  return `${String(batch.db[row])}\t${kind}\t${String(bytes)}\t${expiry}\t${shownKey(batch.keyOf(row))}`;
}

/** A time of the calendar, or the number where a calendar has none. */
function expiryText(expiryMs: number | null): string | null {
  if (expiryMs === null) return null;
  return Math.abs(expiryMs) <= 8.64e15 ? new Date(expiryMs).toISOString() : String(expiryMs);
}

function wholeNumber(flag: string, text: string, max: number): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (value <= max) return value;
  throw new UsageError('TM_USAGE', `${flag} ${text} is not a number from 0 to ${max.toString()}`);
}

function kindOf(text: string): ValueKind {
  const kind = VALUE_KINDS.find((known) => known === text);
  if (kind !== undefined) return kind;
  throw new UsageError('TM_USAGE', `--type ${text} is not known`, {
    hint: `one of ${VALUE_KINDS.join(', ')}`,
  });
}
