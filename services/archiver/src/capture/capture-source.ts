import type { BaseFile, Continuity, IncrFile, PinClass, TailCursor } from '@tidemark/aof';
import type { HoleReason } from '@tidemark/archive';
import type { TimelineOpened } from '@tidemark/catalog';
import type { NodeLocator, NodeSample } from '@tidemark/client';
import type { ByteSource, Clock, Random } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { CaptureLimits } from './capture-options.ts';
import type { LinkStatus } from './link-status.ts';

/** Where the bytes of a node come from. */
export type SourceKind = TimelineOpened['source'];

/** A dataset that stands in the stream of a source and can become a snapshot. */
export interface SourceBase extends Omit<BaseFile, 'path'> {
  /**
   * Physical position in the file `alignedSeq` at which it stands, counted without gaps from there
   * on. Absent: at the start of that file.
   */
  readonly position?: number;
  /** Reads its RDB from the first byte on, until `releaseBase`; null where `form` is not `rdb`. */
  readonly open: ((signal: AbortSignal) => ByteSource) | null;
}

/** What {@link CaptureSource.next} gives. The vocabulary is that of the AOF tail (libs/aof). */
export type SourceItem =
  | {
      readonly kind: 'opened';
      readonly file: IncrFile;
      readonly continuity: Continuity;
      /** Only with continuity `broken`. */
      readonly reason?: HoleReason;
      /** With `broken`: why, for the reader. */
      readonly detail?: string;
      readonly base: SourceBase | null;
      /** Physical position of the first byte that follows. */
      readonly position: number;
      /** Physical position of the first command of the file. */
      readonly start: number;
      /** Database that a new stream begins in. Default 0. */
      readonly db?: number;
    }
  | { readonly kind: 'bytes'; readonly data: Buffer; readonly position: number }
  | { readonly kind: 'base'; readonly base: SourceBase }
  | { readonly kind: 'ended' }
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'broken';
      readonly reason: HoleReason;
      readonly detail: string;
      /** Whether `resumeAt` may go on before what is missing. */
      readonly cut: boolean;
    };

/** The place of a sample: everything before it ran before the sample was taken. */
export interface SourcePlace {
  readonly seq: number;
  readonly ino: string;
  readonly position: number;
  /** The replication history that the node was in, where positions are its offsets. */
  readonly replid?: string;
}

/** One stream of commands of one node, and the datasets that stand in it. */
export interface CaptureSource extends AsyncDisposable {
  readonly kind: SourceKind;
  /** How well files are held against a rewrite; null where there are none. */
  readonly pinClass: PinClass | null;
  /** State of the replication link; null where there is none. */
  readonly link: LinkStatus | null;
  /** Whether a snapshot that is asked for comes in the open timeline. */
  readonly canRebase: boolean;

  /**
   * The next thing that happened; waits for it. One caller at a time.
   * @throws The signal's reason when it is aborted; what keeps the source from going on.
   */
  next(): Promise<SourceItem>;
  /** To be called right before a sample is asked for; its result goes to `place`. */
  beginSample(): unknown;
  /** @returns Null when the place is not certain: the sample is dropped. */
  place(sample: NodeSample, stamp: unknown): SourcePlace | null;
  /** Whether the sample shows a node that may be asked for a fork. */
  isQuiet(sample: NodeSample): boolean;
  /**
   * Asks the node for a new base; it comes by `next`.
   * @throws NodeError when it cannot be had.
   */
  askBase(signal: AbortSignal): Promise<void>;
  /** Lets go of a base that an item gave, by its name. */
  releaseBase(name: string): Promise<void>;
  /**
   * Lets go of what lies before a durable cursor.
   * @param back - Bytes before it that a later run reads once more.
   */
  releaseBefore(cursor: TailCursor, back: number): Promise<void>;
  /** After a `broken` item with `cut`: reads on at a cursor of this process. */
  resumeAt(cursor: TailCursor): void;
  /** What came is not to be understood: the next `opened` is a new beginning. */
  giveUp(): Promise<void>;
  /** Looks after the node; to be called often. */
  look(): void;
}

/** Where an earlier run stopped. */
export interface SourceResume {
  readonly cursor: TailCursor;
  /** Bytes before the cursor that belong to a command not finished there: they are read again. */
  readonly back: number;
  /** Whether the timeline is worth nothing without its first base. */
  readonly needsBase: boolean;
}

/** What a source is opened with. */
export interface SourceSetting {
  readonly writer: string;
  readonly locator: NodeLocator;
  readonly resume: SourceResume | null;
  readonly limits: CaptureLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Whether the node answered lately and does nothing heavy. */
  readonly isQuiet: () => boolean;
}

/** Opens the source of one instance. */
export interface SourceOpener {
  readonly kind: SourceKind;
  /** @throws What keeps the node from being captured: nothing is claimed then. */
  check(): Promise<void>;
  open(setting: SourceSetting): Promise<CaptureSource>;
}
