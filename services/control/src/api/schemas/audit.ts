import { pageQuery } from '../pages.ts';
import { actor, instanceId, nextPageToken, textOrNull } from './common.ts';

/** Which entries are wanted. */
export const auditQuery = {
  type: 'object',
  additionalProperties: false,
  properties: { ...pageQuery, instance: instanceId },
} as const;

/** Who asked for what. */
export const AuditList = {
  type: 'object',
  required: ['entries', 'nextPageToken'],
  properties: {
    entries: {
      type: 'array',
      items: {
        type: 'object',
        required: ['seq', 'at', 'actor', 'action', 'instance', 'job', 'detail'],
        properties: {
          seq: { type: 'integer' },
          at: { type: 'string', description: 'RFC 3339, UTC, with milliseconds.' },
          actor,
          action: { type: 'string' },
          instance: textOrNull,
          job: textOrNull,
          detail: { type: 'string' },
        },
      },
    },
    nextPageToken,
  },
} as const;
