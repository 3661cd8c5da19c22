import { ownerOf, type CaptureStatus, type FleetReport } from '@tidemark/archiver';
import { deletedBackups, type Catalog } from '@tidemark/catalog';
import { formatSecond, type Workspace } from '@tidemark/workspace';
import { commonSeconds, shardWindows } from './windows.ts';

const ARCHIVER_TIMEOUT_MS = 5_000;

/** What the archiver of this host answers. */
export interface ArchiverAnswer {
  readonly pid: number;
  readonly captures: readonly CaptureStatus[];
  /** Null: it shares no captures with others. */
  readonly fleet: FleetReport | null;
}

/** A capture as it is shown: seconds as times. */
export type CaptureDocument = Omit<CaptureStatus, 'provenTo'> & {
  /** RFC 3339 UTC. */
  readonly provenTo: string | null;
};

/** What there is of an instance, and how its capture stands. Times RFC 3339 UTC. */
export interface InstanceStatus {
  readonly instance: string;
  readonly earliest: string | null;
  readonly latest: string | null;
  readonly holes: number;
  readonly backups: number;
  /** Null: no archiver of this host captures it. */
  readonly capture: CaptureDocument | null;
  /** Who captures it, as its log says; null: nobody ever did. */
  readonly owner: OwnerDocument | null;
}

/** The host that owns the log of an instance. */
export interface OwnerDocument {
  /** Id of its spool. */
  readonly id: string;
  /** Number of its claim. */
  readonly generation: number;
  /** `released`: it ended in good order; `gone`: it shows no life. */
  readonly state: 'alive' | 'released' | 'gone';
  /** Its last sign of life, RFC 3339 UTC. */
  readonly lastSeen: string;
}

/** What is shared out, and to whom. */
export interface FleetDocument extends Pick<FleetReport, 'state' | 'assigned' | 'ownerId'> {
  /** Instances that only a host can capture which shows no life. */
  readonly gone: readonly string[];
}

/** The status of everything. */
export interface StatusDocument {
  readonly archiver: { readonly pid: number } | null;
  /** Null: the archiver of this host, if one runs, shares no captures with others. */
  readonly fleet: FleetDocument | null;
  /** Address of the store; no secret. */
  readonly store: string;
  readonly instances: readonly InstanceStatus[];
}

/**
 * Asks the archiver of this host how it is.
 * @returns Null when none runs.
 * @throws TidemarkError `TM_ARCHIVER_REPLY` when it does not answer.
 */
export async function askStatus(
  workspace: Pick<Workspace, 'askArchiver'>,
  signal: AbortSignal,
): Promise<ArchiverAnswer | null> {
  const asked = { timeoutMs: ARCHIVER_TIMEOUT_MS, signal };
  return (await workspace.askArchiver('status', null, asked)) as ArchiverAnswer | null;
}

/** The status of every instance that the catalog knows. The catalog is up to date. */
export function statusDocument(
  { catalog, store }: Pick<Workspace, 'catalog' | 'store'>,
  answer: ArchiverAnswer | null,
  nowMs: number,
): StatusDocument {
  return {
    archiver: answer === null ? null : { pid: answer.pid },
    fleet: fleetDocument(answer?.fleet ?? null),
    store: store.url,
    instances: catalog
      .instances()
      .map(({ iid }) => instanceStatus(catalog, iid ?? '', answer, nowMs)),
  };
}

/** The status of one instance. The catalog is up to date. */
export function instanceStatus(
  catalog: Catalog,
  iid: string,
  answer: ArchiverAnswer | null,
  nowMs: number,
): InstanceStatus {
  const shards = shardWindows(catalog, iid);
  const { earliest, latest } = commonSeconds(shards);
  const capture = answer?.captures.find(({ instance }) => instance === iid) ?? null;
  return {
    instance: iid,
    earliest: edge(earliest),
    latest: edge(latest),
    holes: shards.reduce((sum, { holes }) => sum + holes.length, 0),
    backups: countBackups(catalog, iid),
    capture: capture === null ? null : { ...capture, provenTo: edge(capture.provenTo) },
    owner: ownerDocument(catalog, iid, nowMs),
  };
}

/** What somebody deleted counts no more, though retention has not let go of it. */
function countBackups(catalog: Catalog, iid: string): number {
  const deleted = deletedBackups(catalog.instance(iid).backups);
  return catalog.snapshots(iid).filter(({ backup }) => !deleted.has(backup)).length;
}

function ownerDocument(catalog: Catalog, iid: string, nowMs: number): OwnerDocument | null {
  const owner = ownerOf(catalog.writers(iid), nowMs);
  if (owner === null) return null;
  const { id, generation, state, lastEntryMs } = owner;
  return { id, generation, state, lastSeen: formatSecond(Math.floor(lastEntryMs / 1000)) };
}

function fleetDocument(fleet: FleetReport | null): FleetDocument | null {
  if (fleet === null) return null;
  const { state, assigned, ownerId, gone } = fleet;
  return { state, assigned, ownerId, gone: gone.map(({ instance }) => instance) };
}

function edge(second: number | null): string | null {
  return second === null ? null : formatSecond(second);
}
