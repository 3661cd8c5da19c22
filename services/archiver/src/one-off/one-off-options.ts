import type { SnapshotStored } from '@tidemark/catalog';
import type { NodeAddress } from '@tidemark/client';
import type { TidemarkError } from '@tidemark/core';
import type { BackupMode } from '../control/protocol.ts';
import type { CaptureSetting } from '../open-capture.ts';
import type { DumpLogPorts } from './dump-log.ts';

/** Who is backed up, as which instance. */
export interface OneOffRequest {
  /** Made where the store does not know it yet. */
  readonly instance: string;
  /** Its user needs `+psync +replconf +ping`. */
  readonly address: NodeAddress;
  /** Whether a policy asks for it. Default: somebody does. */
  readonly mode?: BackupMode;
}

/** What a one-off backup works with. */
export interface OneOffEnvironment
  extends DumpLogPorts, Pick<CaptureSetting, 'stateDir' | 'spoolBytesMax'> {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: OneOffProgress) => void;
  /**
   * Throws where no copy may be made without TDE; not asked for an instance that has it. Asked before
   * the node is connected, with null; when its replication id is known; and before anything is logged.
   */
  readonly mayCopy: (replid: string | null) => Promise<void>;
}

/** How far a one-off backup is; `waiting`: store, keys or disk fail for now. */
export type OneOffProgress =
  | { readonly phase: 'reading'; readonly bytes: number; readonly bytesTotal: number | null }
  | { readonly phase: 'storing' }
  | { readonly phase: 'waiting'; readonly error: TidemarkError };

/** A backup that is in store and log, and the place in the history of the node that it is of. */
export interface OneOffBackup {
  readonly stored: SnapshotStored;
  readonly replid: string;
  readonly offset: bigint;
}
