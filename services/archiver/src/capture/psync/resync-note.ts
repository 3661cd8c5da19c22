import { readFile } from 'node:fs/promises';
import { HOLE_REASONS, type HoleReason } from '@tidemark/archive';
import { replaceFile } from '@tidemark/system';
import type { ResyncCause } from './node-history.ts';

const NOTE_BYTES_MAX = 8_192;

/** What this host knows of the link beyond the bytes. */
export interface ResyncNote {
  /** Process that the link last followed. */
  readonly runId: string | null;
  /** The newest full resync, by the id of its history, and what it means. */
  readonly resync: (ResyncCause & { readonly ino: string }) | null;
  /** When the last full resyncs were begun, oldest first, by the clock of this host. */
  readonly syncsMs: readonly number[];
}

/** More than any pace allows within the time for which they are counted. */
const SYNCS_MAX = 16;

const NOTHING: ResyncNote = { runId: null, resync: null, syncsMs: [] };

/** The times, with one more. */
export function withSync({ syncsMs }: ResyncNote, atMs: number): readonly number[] {
  return [...syncsMs, Math.floor(atMs)].slice(-SYNCS_MAX);
}

/** A small file beside the wire spool. It may be lost: a hole is then named less well. */
export class ResyncNoteFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<ResyncNote> {
    try {
      const text = await readFile(this.#path, 'utf8');
      return text.length > NOTE_BYTES_MAX ? NOTHING : noteOf(JSON.parse(text));
    } catch {
      return NOTHING;
    }
  }

  /** Without it capture goes on all the same. */
  async write(note: ResyncNote): Promise<void> {
    try {
      await replaceFile(this.#path, `${JSON.stringify(note)}\n`);
    } catch {
      // The disk is full: what it says is known until this process ends.
    }
  }
}

function noteOf(value: unknown): ResyncNote {
  if (typeof value !== 'object' || value === null) return NOTHING;
  const { runId, resync, syncsMs } = value as Record<string, unknown>;
  return {
    runId: typeof runId === 'string' ? runId : null,
    resync: resyncOf(resync),
    syncsMs: Array.isArray(syncsMs) ? syncsMs.filter(Number.isSafeInteger).slice(-SYNCS_MAX) : [],
  };
}

function resyncOf(value: unknown): ResyncNote['resync'] {
  if (typeof value !== 'object' || value === null) return null;
  const { ino, reason, detail } = value as Record<string, unknown>;
  if (typeof ino !== 'string' || typeof detail !== 'string') return null;
  if (!HOLE_REASONS.includes(reason as HoleReason)) return null;
  return { ino, reason: reason as HoleReason, detail };
}
