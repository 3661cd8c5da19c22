import { pageQuery } from '../pages.ts';
import {
  actor,
  digits,
  instanceId,
  jobId,
  nextPageToken,
  textOrNull,
  utcTime,
  utcTimeOrNull,
} from './common.ts';

/** States of a job. */
export const JOB_STATES = [
  'queued',
  'running',
  'cancelling',
  'succeeded',
  'partial',
  'failed',
  'cancelled',
] as const;

/** Kinds of jobs. */
export const JOB_KINDS = [
  'backup',
  'restore',
  'write-back',
  'clone',
  'rebuild',
  'rewrap',
  'verify',
  'expire',
  'clear-data',
  'purge-expired',
] as const;

/** A job in an answer. */
export const JobSchema = {
  $id: 'Job',
  type: 'object',
  description: 'Work that takes long, and how far it is.',
  required: [
    ...['id', 'kind', 'instance', 'state', 'phase', 'percent', 'bytesDone', 'bytesTotal'],
    ...['keysDone', 'etaSeconds', 'attempt', 'resumable', 'actor', 'createdAt', 'links'],
  ],
  properties: {
    id: jobId,
    kind: { enum: JOB_KINDS },
    instance: { type: 'string' },
    state: { enum: JOB_STATES },
    phase: { type: 'string' },
    percent: { type: 'number', minimum: 0, maximum: 100 },
    bytesDone: digits,
    bytesTotal: { ...digits, description: '0: not known yet.' },
    keysDone: { type: 'integer', minimum: 0 },
    etaSeconds: { type: ['number', 'null'] },
    attempt: { type: 'integer', minimum: 0, description: 'How often a worker began it.' },
    resumable: { type: 'boolean', description: 'Whether `:resume` may be asked for.' },
    worker: textOrNull,
    actor,
    createdAt: utcTime,
    startedAt: utcTimeOrNull,
    endedAt: utcTimeOrNull,
    result: { description: 'What it ended with; null before.' },
    problem: {
      type: ['object', 'null'],
      description: 'Why it failed; codes are those of docs/errors.md.',
      properties: { code: { type: 'string' }, message: { type: 'string' }, hint: textOrNull },
    },
    links: {
      type: 'object',
      required: ['self', 'events', 'logs', 'cancel', 'resume'],
      properties: {
        self: { type: 'string' },
        events: { type: 'string' },
        logs: { type: 'string' },
        cancel: { type: 'string' },
        resume: { type: 'string' },
      },
    },
  },
} as const;

/** The path of one job. */
export const jobParams = {
  type: 'object',
  additionalProperties: false,
  required: ['job'],
  properties: { job: jobId },
} as const;

/** Which jobs are listed. */
export const jobsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...pageQuery,
    instance: instanceId,
    state: { type: 'string', enum: JOB_STATES },
    kind: { type: 'string', enum: JOB_KINDS },
  },
} as const;

/** A page of jobs. */
export const JobList = {
  type: 'object',
  required: ['jobs', 'nextPageToken'],
  properties: { jobs: { type: 'array', items: { $ref: 'Job#' } }, nextPageToken },
} as const;

/** Which lines of a job are wanted. */
export const linesQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    after: {
      type: 'integer',
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
      description: 'Lines after this number.',
    },
    max: { type: 'integer', minimum: 1, maximum: 1000, default: 200 },
  },
} as const;

/** Lines of a job. */
export const JobLines = {
  type: 'object',
  required: ['job', 'lines'],
  properties: {
    job: jobId,
    lines: {
      type: 'array',
      items: {
        type: 'object',
        required: ['seq', 'at', 'level', 'message'],
        properties: {
          seq: { type: 'integer' },
          at: { type: 'string', description: 'RFC 3339, UTC, with milliseconds.' },
          level: { enum: ['info', 'warn', 'error'] },
          message: { type: 'string' },
        },
      },
    },
  },
} as const;

/** What a route that starts work answers. */
export const accepted = {
  202: {
    description: 'It was taken up: its job.',
    headers: {
      Location: { type: 'string', description: 'Address of the job.' },
      'Retry-After': { type: 'integer', description: 'Seconds to wait before asking again.' },
    },
    $ref: 'Job#',
  },
} as const;
