import type { SegmentHeader } from '@tidemark/archive';
import {
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  isHeldBy,
  type InstanceLogEntry,
  type LogEntry,
  type WholeFold,
} from '@tidemark/catalog';
import type { TidemarkError } from '@tidemark/core';
import type { LoggedObject, LoggedSegment } from './stored-objects.ts';

/** What retention has let go of an instance, as its log says. */
export class LetGo {
  #state = EMPTY_INSTANCE_STATE;
  readonly #cuts = new Map<string, number>();

  /** Takes the next entry of the instance log. */
  note({ event, seq, digest }: InstanceLogEntry): void {
    this.#state = evolveInstance(this.#state, event, seq, digest);
    // What is only marked is still there, and may be taken back.
    if (event.type !== 'ExpiryBegun') return;
    for (const cut of this.#state.expiry.tombstone?.cuts ?? []) {
      this.#cuts.set(cut.writer, Math.max(cut.seq, this.#cuts.get(cut.writer) ?? -1));
    }
  }

  /** What is gone of one writer. @param fold - What a checkpoint says of the log before its start. */
  ofWriter(writer: string, startSeq: number, fold: WholeFold | null): WriterLetGo {
    const floor = this.#state.expiry.floors.find((each) => each.writer === writer) ?? null;
    const cutSeq = this.#cuts.get(writer) ?? -1;
    const known = fold?.rows.flatMap(({ timelines }) => timelines) ?? [];
    const newest = fold?.state.timeline ?? null;
    const timelines = newest === null ? known : [...known, newest];
    const names = timelines.map(({ timeline }) => timeline);
    // A checkpoint of an older release knows its newest timeline only: what came before it is gone.
    const isBehind = floor === null || (startSeq >= 0 && fold === null);
    const dropped = new Set(this.#state.expiry.dropped);
    return new WriterLetGo(floor, { cutSeq, isBehind, names, dropped });
  }
}

/** Tells which objects of a writer are gone on purpose, while its log is walked in order. */
export class WriterLetGo {
  readonly #floor: { readonly timeline: string; readonly offset: bigint } | null;
  readonly #cutSeq: number;
  readonly #names: readonly string[];
  readonly #dropped: ReadonlySet<string>;
  #isBehind: boolean;
  #missing: { readonly segment: LoggedSegment; readonly fault: TidemarkError }[] = [];

  constructor(
    floor: { readonly timeline: string; readonly offset: bigint } | null,
    options: {
      readonly cutSeq: number;
      readonly isBehind: boolean;
      readonly names: readonly string[];
      /** Backups above the floor that were let go of singly. */
      readonly dropped: ReadonlySet<string>;
    },
  ) {
    this.#floor = floor;
    this.#cutSeq = options.cutSeq;
    this.#isBehind = options.isBehind;
    this.#names = options.names;
    this.#dropped = options.dropped;
  }

  /** Takes the next entry. */
  note({ event }: LogEntry): void {
    if (event.type === 'TimelineOpened' && event.timeline === this.#floor?.timeline) {
      this.#isBehind = true;
    }
  }

  /** Whether an object was let go. @param isRow - A checkpoint names it, for its entry may be gone. */
  isGone(logged: LoggedObject, isRow: boolean): boolean {
    const { seq, key } = logged.object.ref;
    if (isRow && key === null && seq <= this.#cutSeq) return true;
    if (logged.kind === 'snapshot' && this.#dropped.has(logged.event.backup)) return true;
    if (logged.kind === 'facts' || this.#floor === null) return false;
    const { timeline, offset } = this.#floor;
    if (logged.object.timeline === timeline) {
      return logged.kind === 'segment' ? logged.header.end <= offset : logged.event.offset < offset;
    }
    if (!isRow) return !this.#isBehind;
    const [at, floorAt] = [
      this.#names.indexOf(logged.object.timeline),
      this.#names.indexOf(timeline),
    ];
    // Where the floor lies in a later timeline, all that the checkpoint names is below it.
    return !this.#isBehind && (floorAt < 0 || at < floorAt);
  }

  /** After the rows of a checkpoint come its entries. */
  beginEntries(): void {
    this.#isBehind ||= this.#floor !== null && this.#names.includes(this.#floor.timeline);
  }

  /** A segment is missing: a merged one may have taken its place. */
  miss(segment: LoggedSegment, fault: TidemarkError): void {
    this.#missing.push({ segment, fault });
  }

  /** A merged segment holds what others hold. */
  holds(merged: SegmentHeader): void {
    if ((merged.level ?? 0) === 0) return;
    this.#missing = this.#missing.filter(({ segment }) => !isHeldBy(segment.header, merged));
  }

  /** Segments that are missing, and that no merged one holds. */
  get missing(): readonly TidemarkError[] {
    return this.#missing.map(({ fault }) => fault);
  }
}
