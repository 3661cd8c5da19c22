/** Longest line on the control socket, in bytes. */
export const CONTROL_LINE_MAX: number = 1024 * 1024;

/** What may be asked of a running archiver. */
export interface ControlRequest {
  readonly id: number;
  readonly method:
    | 'status'
    | 'backup'
    | 'roll'
    | 'attach'
    /** Takes its settings up anew: the timeline stays open. */
    | 'reattach'
    | 'detach'
    | 'prove'
    | 'rekey'
    | 'policy';
  readonly instance: string | null;
  /** Only with `backup`: whether the policy asks for it. Default: somebody does. */
  readonly mode?: BackupMode;
  /** Only with `prove`: the timelines before and after a hole that was proven to be none. */
  readonly proof?: ProvenHole;
}

/** Whether a backup was made by a policy, or because somebody wanted it. */
export type BackupMode = 'automated' | 'manual';

/** Two timelines between which nothing is missing. */
export interface ProvenHole {
  readonly closed: string;
  readonly opened: string;
}

/** One answer, on one line of JSON. */
export type ControlReply =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
    };

/** Reads one request line; null when it is not one. */
export function parseRequest(line: string): ControlRequest | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { id, method, instance, proof, mode } = value as Record<string, unknown>;
  if (typeof id !== 'number') return null;
  if (instance !== null && typeof instance !== 'string') return null;
  switch (method) {
    case 'backup':
      if (mode === undefined) return { id, method, instance };
      return mode === 'automated' || mode === 'manual' ? { id, method, instance, mode } : null;
    case 'status':
    case 'roll':
    case 'attach':
    case 'reattach':
    case 'detach':
    case 'rekey':
    case 'policy':
      return { id, method, instance };
    case 'prove': {
      const hole = provenHole(proof);
      return hole === null ? null : { id, method, instance, proof: hole };
    }
    default:
      return null;
  }
}

function provenHole(value: unknown): ProvenHole | null {
  if (typeof value !== 'object' || value === null) return null;
  const { closed, opened } = value as Record<string, unknown>;
  if (typeof closed !== 'string' || typeof opened !== 'string') return null;
  return { closed, opened };
}

/** Reads one answer line; null when it is not one. */
export function parseReply(line: string): ControlReply | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { id, ok, result, error } = value as Record<string, unknown>;
  if (typeof id !== 'number') return null;
  if (ok === true) return { id, ok, result };
  if (typeof error !== 'object' || error === null) return null;
  const { code, message, hint } = error as Record<string, unknown>;
  if (typeof code !== 'string' || typeof message !== 'string') return null;
  return { id, ok: false, error: { code, message, ...(typeof hint === 'string' && { hint }) } };
}
