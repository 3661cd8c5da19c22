import {
  openJobNote,
  readJobNote,
  sealJobNote,
  type BusDelivery,
  type JobNoteKind,
  type TopicName,
} from '@tidemark/bus';
import { BusError } from '@tidemark/core';
import type { Actor, Job, JobEvent } from '../jobs/job.ts';
import type { LinkedParts } from './fleet-parts.ts';

const TOPICS: Readonly<Record<JobNoteKind, TopicName>> = {
  order: 'jobs',
  event: 'job-events',
  cancel: 'job-control',
};

/**
 * Bodies of the three notes. `wish` counts how often the job was asked for; earlier releases do not say it. `anyone`:
 * nobody took it who captures the instance.
 */
export interface NoteBodies {
  /** `attempt` of the job is the last one from before. */
  readonly order: Job & { readonly wish?: number; readonly anyone?: boolean };
  readonly event: JobEvent;
  readonly cancel: { readonly actor: Actor; readonly ordered?: number; readonly wish?: number };
}

/** A note that was opened. */
export interface OpenedNote<K extends JobNoteKind> {
  readonly job: string;
  readonly instance: string;
  readonly host: string;
  readonly atMs: number;
  readonly body: NoteBodies[K];
}

/** What is to be said of a job. */
export interface JobWish {
  readonly job: Job;
  /** When it was wished for: a note may wait for long before it is sent. */
  readonly atMs: number;
}

/** Sends notes. @throws BusError. */
export async function sendNotes<K extends JobNoteKind>(
  { bus, host, workspace, random }: LinkedParts,
  kind: K,
  notes: readonly (JobWish & { readonly body: NoteBodies[K] })[],
): Promise<void> {
  const messages = [];
  for (const { job, atMs, body } of notes) {
    const { id, instance } = job;
    const logKey = await workspace.keys.logKey(instance);
    const note = { kind, job: id, instance, host, atMs, body };
    messages.push(sealJobNote(note, logKey, random));
  }
  if (messages.length > 0) await bus.publish(TOPICS[kind], messages);
}

/**
 * Opens a note of the kind of its topic.
 * @throws BusError `TM_BUS_MESSAGE`; as `openJobMessage`: such a note is parked.
 */
export async function openNote<K extends JobNoteKind>(
  { workspace }: LinkedParts,
  kind: K,
  delivery: BusDelivery,
): Promise<OpenedNote<K>> {
  const sealed = readJobNote(delivery);
  if (sealed.kind !== kind) throw new BusError('TM_BUS_MESSAGE', 'a note lies in a wrong topic');
  const note = openJobNote(sealed, await workspace.keys.logKey(sealed.instance));
  const { body } = note as { readonly body: unknown };
  if (!isBody(kind, body, note)) {
    throw new BusError('TM_BUS_MESSAGE', `a note of kind ${kind} does not say what it should`);
  }
  return { ...note, body: body as NoteBodies[K] };
}

/** Who sealed it has the key ring; what it says is still looked at. */
function isBody(
  kind: JobNoteKind,
  body: unknown,
  { job, instance }: { readonly job: string; readonly instance: string },
): boolean {
  if (typeof body !== 'object' || body === null) return false;
  if (!['wish', 'ordered'].every((name) => isCount((body as Fields)[name]))) return false;
  if (!['undefined', 'boolean'].includes(typeof (body as Fields)['anyone'])) return false;
  if (kind === 'cancel') return 'actor' in body && isNamed(body.actor);
  const one: unknown = kind === 'event' && 'job' in body ? body.job : body;
  if (typeof one !== 'object' || one === null) return false;
  const told = one as Fields;
  return (
    told['id'] === job &&
    told['instance'] === instance &&
    ['kind', 'state'].every((name) => typeof told[name] === 'string') &&
    ['attempt', 'createdMs'].every((name) => Number.isSafeInteger(told[name])) &&
    'request' in told &&
    isNamed(told['actor'])
  );
}

type Fields = Readonly<Record<string, unknown>>;

function isCount(value: unknown): boolean {
  return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);
}

function isNamed(actor: unknown): boolean {
  return (
    typeof actor === 'object' && actor !== null && 'name' in actor && typeof actor.name === 'string'
  );
}
