import { readFile } from 'node:fs/promises';
import type { TailCursor } from '@tidemark/aof';
import { replaceFile } from '@tidemark/system';

const NOTE_BYTES_MAX = 8_192;

/** What this host knows of the open timeline beyond its log. */
export interface TimelineNote {
  readonly timeline: string;
  /** Where its first byte stands in the files: the log knows a place only from the first segment on. */
  readonly start: TailCursor;
  /** First second that it serves: up to the one before, the timeline before it does. */
  readonly servesFrom: number | null;
}

/**
 * A small file in the state folder. It may be lost: then a timeline without a segment, or without a
 * snapshot, is begun anew at the next start.
 */
export class TimelineNoteFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** What was written last; null when there is nothing that can be read. */
  async read(): Promise<TimelineNote | null> {
    try {
      const text = await readFile(this.#path, 'utf8');
      const note: unknown = text.length > NOTE_BYTES_MAX ? null : JSON.parse(text);
      return isNote(note) ? note : null;
    } catch {
      return null;
    }
  }

  /** Replaces it. */
  async write(note: TimelineNote): Promise<void> {
    await replaceFile(this.#path, `${JSON.stringify(note)}\n`, { durable: 'content' });
  }
}

function isNote(value: unknown): value is TimelineNote {
  if (typeof value !== 'object' || value === null) return false;
  const { timeline, start, servesFrom } = value as Record<string, unknown>;
  const second = servesFrom === null || Number.isSafeInteger(servesFrom);
  return typeof timeline === 'string' && second && isCursor(start);
}

function isCursor(value: unknown): value is TailCursor {
  if (typeof value !== 'object' || value === null) return false;
  const cursor = value as Record<string, unknown>;
  const texts = ['file', 'dev', 'ino', 'digest'].every((name) => typeof cursor[name] === 'string');
  const numbers = ['seq', 'position', 'digestBytes'];
  return texts && numbers.every((name) => Number.isSafeInteger(cursor[name]));
}
