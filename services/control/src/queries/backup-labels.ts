import {
  holdOf,
  LABEL_KEY_MAX,
  LABEL_VALUE_MAX,
  LABELS_MAX,
  noteOf,
  openInstanceLog,
  type BackupLabel,
  type InstanceLog,
} from '@tidemark/catalog';
import { UsageError, type Clock, type Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';

/** Labels by their keys; null takes one away. */
export type LabelChange = Readonly<Record<string, string | null>>;

/** What a change of a backup is written with. */
export interface ChangePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Of a workspace what a change of a backup needs. */
export interface ChangeParts extends Pick<Workspace, 'store' | 'catalog'> {
  readonly keys: Pick<Workspace['keys'], 'logKey'>;
}

/** Keys of labels, as the log takes them. */
export const LABEL_KEY = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/;
/** No control characters, and none that is not seen or turns the direction of a text. */
export const LABEL_VALUE =
  /^[^\p{Cc}\p{Surrogate}\u2028-\u202e\u2066-\u2069\u200b-\u200f\ufeff]*$/u;

/**
 * Refuses labels that the log would not take, before anything is made for them.
 * @throws UsageError `TM_BACKUP_LABELS`.
 */
export function checkLabels(change: LabelChange): void {
  for (const [key, value] of Object.entries(change)) {
    if (key.length > LABEL_KEY_MAX || !LABEL_KEY.test(key)) {
      throw wrongLabel(
        `"${printable(key)}" is no key of a label`,
        `1 to ${LABEL_KEY_MAX} of A-Z a-z 0-9 . _ / -, a letter or digit first and last`,
      );
    }
    if (value === null) continue;
    if (value.length > LABEL_VALUE_MAX || !LABEL_VALUE.test(value)) {
      throw wrongLabel(
        `the value of label ${key} cannot be taken`,
        `at most ${LABEL_VALUE_MAX} printable characters`,
      );
    }
  }
  const set = Object.values(change).filter((value) => value !== null).length;
  if (set > LABELS_MAX) throw tooMany(set);
}

/**
 * Puts labels to a backup, or takes them away. They stand in the log of its instance, in clear text. The
 * catalog is up to date.
 * @param change - What is not named stays.
 * @throws UsageError `TM_BACKUP_LABELS`, `TM_BACKUP_DELETED`; CatalogError `TM_LOG_STATE`, StoreError.
 */
export async function labelBackup(
  { instance, backup }: { readonly instance: string; readonly backup: string },
  change: LabelChange,
  by: string,
  parts: ChangeParts,
  ports: ChangePorts,
): Promise<void> {
  checkLabels(change);
  const log = await logOf(instance, parts, ports);
  await log.append(({ backups }) => {
    const note = noteOf(backups, backup);
    if (note?.deleted != null) throw deletedBackup(instance, backup);
    const labels = changed(note?.labels ?? [], change);
    if (labels.length > LABELS_MAX) throw tooMany(labels.length);
    if (JSON.stringify(labels) === JSON.stringify(note?.labels ?? [])) return null;
    return { type: 'BackupLabelled', backup, labels, by, atMs: ports.clock.nowMs() };
  });
}

/** Holds a backup, or releases it, in the log of its instance. */
export async function holdInLog(
  { instance, backup }: { readonly instance: string; readonly backup: string },
  { hold, fromSecond }: { readonly hold: boolean; readonly fromSecond: number },
  parts: ChangeParts,
  ports: ChangePorts,
): Promise<void> {
  const log = await logOf(instance, parts, ports);
  const lease = holdOf(backup);
  const atMs = ports.clock.nowMs();
  await log.append(({ leases, backups }) => {
    if (leases.some((each) => each.lease === lease) === hold) return null;
    if (!hold) return { type: 'LeaseReleased', lease, atMs };
    if (noteOf(backups, backup)?.deleted != null) throw deletedBackup(instance, backup);
    return { type: 'LeaseTaken', lease, purpose: 'hold', fromSecond, untilMs: atMs, atMs };
  });
}

/** The log of an instance, from where the catalog knows it. */
export async function logOf(
  iid: string,
  { store, keys, catalog }: ChangeParts,
  ports: ChangePorts,
): Promise<InstanceLog> {
  const logKey = await keys.logKey(iid);
  const from = catalog.instance(iid);
  return openInstanceLog({ ...{ store, iid, logKey, keyProven: true, from }, ...ports });
}

/** What is done to a backup that is deleted. */
export function deletedBackup(instance: string, backup: string): UsageError {
  return new UsageError('TM_BACKUP_DELETED', `backup ${backup} was deleted`, {
    context: { instance, backup },
    hint: `choose another one: tidemark backup list ${instance}`,
  });
}

function changed(labels: readonly BackupLabel[], change: LabelChange): readonly BackupLabel[] {
  const next = new Map<string, string | null>(labels.map(({ key, value }) => [key, value]));
  for (const [key, value] of Object.entries(change)) next.set(key, value);
  return [...next]
    .flatMap(([key, value]) => (value === null ? [] : { key, value }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

function tooMany(labels: number): UsageError {
  return wrongLabel(`${labels} labels are too many`, `a backup has at most ${LABELS_MAX}`);
}

function wrongLabel(message: string, hint: string): UsageError {
  return new UsageError('TM_BACKUP_LABELS', message, { hint });
}

function printable(text: string): string {
  return text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?');
}
