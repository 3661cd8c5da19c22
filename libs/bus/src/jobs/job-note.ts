import { BusError, isSafeName, type Random } from '@tidemark/core';
import { openJobMessage, sealJobMessage, type LogKey } from '@tidemark/crypto';
import type { BusDelivery, BusMessage } from '../bus.ts';

/** What hosts tell each other of a job. */
export type JobNoteKind =
  /** Topic `jobs`: it is to be done. */
  | 'order'
  /** Topic `job-events`: how far it is. */
  | 'event'
  /** Topic `job-control`: it is not to be done. */
  | 'cancel';

/** A note, with what is in it. */
export interface JobNote {
  readonly kind: JobNoteKind;
  readonly job: string;
  readonly instance: string;
  /** Name of the host that sends it. */
  readonly host: string;
  /** When it was sent, Unix milliseconds. */
  readonly atMs: number;
  /** JSON; sealed on the way, for it names keys. */
  readonly body: unknown;
}

/** A note whose body is not yet opened. */
export type SealedJobNote = Omit<JobNote, 'body'> & { readonly sealed: Buffer };

const NOTE_BYTES_MAX = 768 * 1024;
const HOST = /^[A-Za-z0-9._-]{1,128}$/;

/** Makes the message; what is clear in it is bound to what is sealed. */
export function sealJobNote(note: JobNote, logKey: LogKey, random: Random): BusMessage {
  const { body, ...clear } = note;
  const plain = Buffer.from(JSON.stringify(body), 'utf8');
  const sealed = sealJobMessage(logKey, random, subjectOf(note), plain);
  const value = JSON.stringify({ v: 1, ...clear, sealed: sealed.toString('base64') });
  return { key: note.job, value: Buffer.from(value, 'utf8') };
}

/**
 * Reads the clear part of a note.
 * @throws BusError `TM_BUS_MESSAGE` that names the field.
 */
export function readJobNote({ value }: Pick<BusDelivery, 'value'>): SealedJobNote {
  if (value.length > NOTE_BYTES_MAX) throw fault('$', `${value.length} bytes are too many`);
  let note: Record<string, unknown>;
  try {
    note = { ...(JSON.parse(value.toString('utf8')) as Record<string, unknown> | null) };
  } catch {
    throw fault('$', 'is not JSON');
  }
  const { v, kind, job, instance, host, atMs, sealed } = note;
  if (v !== 1) throw fault('v', 'is not known');
  if (kind !== 'order' && kind !== 'event' && kind !== 'cancel')
    throw fault('kind', 'is not known');
  if (typeof job !== 'string' || !isSafeName(job)) throw fault('job', 'is no id');
  if (typeof instance !== 'string' || !isSafeName(instance)) throw fault('instance', 'is no id');
  if (typeof host !== 'string' || !HOST.test(host)) throw fault('host', 'is no name');
  if (typeof atMs !== 'number' || !Number.isSafeInteger(atMs)) throw fault('atMs', 'is no time');
  if (typeof sealed !== 'string') throw fault('sealed', 'is no text');
  const bytes = Buffer.from(sealed, 'base64');
  return { kind, job, instance, host, atMs, sealed: bytes };
}

/**
 * Opens a note.
 * @throws As `openJobMessage`; BusError `TM_BUS_MESSAGE`.
 */
export function openJobNote({ sealed, ...clear }: SealedJobNote, logKey: LogKey): JobNote {
  const plain = openJobMessage(logKey, subjectOf(clear), sealed);
  try {
    return { ...clear, body: JSON.parse(plain.toString('utf8')) as unknown };
  } catch {
    throw fault('sealed', 'is not JSON');
  } finally {
    plain.fill(0);
  }
}

function subjectOf({ kind, job, instance, host, atMs }: Omit<JobNote, 'body'>): string {
  return JSON.stringify([kind, job, instance, host, atMs]);
}

function fault(field: string, why: string): BusError {
  return new BusError('TM_BUS_MESSAGE', `a message of jobs: ${field} ${why}`, {
    context: { field },
  });
}
