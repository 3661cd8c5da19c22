import type { NodeLocator } from '@tidemark/client';
import type { WriterEvent, WriterLog } from '@tidemark/catalog';
import type { Clock, Random } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { Logger } from '../logger.ts';
import type { DataKeys } from '../ship/data-keys.ts';
import type { CopyFolder } from '../levels/copy-folder.ts';
import type { RequestMeter } from '../ship/request-meter.ts';
import type { Spool } from '../ship/spool.ts';
import type { SourceOpener } from './capture-source.ts';
import type { TimelineNoteFile } from './timeline-note.ts';

/** When segments are rolled and how much may be pinned. */
export interface CaptureLimits {
  readonly rollMaxAgeMs: number;
  readonly rollMaxBytes: number;
  readonly heartbeatMs: number;
  readonly pinBytesMax: number;
  readonly pinAgeMaxMs: number;
  /** Whether the node may be asked for a rewrite when a snapshot is needed and none comes. */
  readonly requestRewrites: boolean;
}

/** One capture of one node through one source. */
export interface CaptureOptions {
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
  /** Where the node is; the capture ends it. */
  readonly locator: NodeLocator;
  readonly source: SourceOpener;
  readonly store: ObjectStore;
  /** Counts what is asked of the store. */
  readonly requests: RequestMeter;
  readonly keys: KeyProvider;
  /** Hands out data keys; whoever looks after the keys of the instance can begin a new epoch. */
  readonly dataKeys: DataKeys;
  readonly spool: Spool;
  /** Sealed copies of segments that may be merged. */
  readonly copies: CopyFolder;
  readonly note: TimelineNoteFile;
  readonly log: WriterLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: CaptureLimits;
  /** Told of each event that is in the log; it only counts. */
  readonly onEvent?: (event: WriterEvent) => void;
}
