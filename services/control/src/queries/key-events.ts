import type { FoundPlace, KeyEvent } from '@tidemark/restorer';
import { shownKey } from '@tidemark/selector';
import { formatSecond } from '@tidemark/workspace';

/** Where and when a command ran, as `find`, `history` and the API show it. */
export interface PlaceDocument {
  /** RFC 3339 UTC; null where the bounds do not lie in one second. */
  readonly second: string | null;
  readonly notBefore: string | null;
  readonly notAfter: string | null;
  readonly timeline: string;
  readonly offset: string;
  /** What `restore --before` takes for the state right before it. */
  readonly before: string;
  readonly command: string;
  readonly arguments: number | null;
  readonly bytes: number | null;
}

/** Something that happened to a key, as `history` and the API show it. Nothing of its value. */
export interface KeyEventDocument extends PlaceDocument {
  readonly db: number;
  readonly did: KeyEvent['did'];
  readonly other: { readonly db: number; readonly key: string | null } | null;
  readonly expiryMs: number | null;
  readonly expired: boolean;
  readonly count: number;
  readonly snapshot: KeyEvent['snapshot'];
}

/** The place of a command. */
export function placeDocument(found: FoundPlace): PlaceDocument {
  const { notBeforeMs, notAfterMs, timeline, offset, before, command } = found;
  const iso = (ms: number | null): string | null =>
    ms === null ? null : new Date(ms).toISOString();
  const [first, last] = [notBeforeMs, notAfterMs].map((ms) =>
    ms === null ? null : Math.floor(ms / 1000),
  );
  return {
    second: first != null && first === last ? formatSecond(first) : null,
    ...{ notBefore: iso(notBeforeMs), notAfter: iso(notAfterMs), timeline },
    ...{ offset: offset.toString(), before: before.toString(), command },
    ...{ arguments: found.argumentCount, bytes: found.bytes },
  };
}

/**
 * An event of a key.
 * @param nameOf - How the name of another key is shown; default: as it is.
 */
export function keyEventDocument(
  event: KeyEvent,
  nameOf: (key: Buffer) => string = shownKey,
): KeyEventDocument {
  return {
    ...placeDocument(event),
    db: event.db,
    did: event.did,
    other: event.other && {
      db: event.other.db,
      key: event.other.key === null ? null : nameOf(event.other.key),
    },
    expiryMs: event.expiryMs,
    expired: event.expired,
    count: event.count,
    snapshot: event.snapshot,
  };
}
