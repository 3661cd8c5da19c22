import type { CaptureStatus } from '@tidemark/archiver';
import type { Catalog } from '@tidemark/catalog';
import { formatSecond, type Workspace } from '@tidemark/workspace';
import { commonSeconds, shardWindows } from './windows.ts';

const ARCHIVER_TIMEOUT_MS = 5_000;

/** What the archiver of this host answers. */
export interface ArchiverAnswer {
  readonly pid: number;
  readonly captures: readonly CaptureStatus[];
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
}

/** The status of everything. */
export interface StatusDocument {
  readonly archiver: { readonly pid: number } | null;
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
): StatusDocument {
  return {
    archiver: answer === null ? null : { pid: answer.pid },
    store: store.url,
    instances: catalog.instances().map(({ iid }) => instanceStatus(catalog, iid ?? '', answer)),
  };
}

/** The status of one instance. The catalog is up to date. */
export function instanceStatus(
  catalog: Catalog,
  iid: string,
  answer: ArchiverAnswer | null,
): InstanceStatus {
  const shards = shardWindows(catalog, iid);
  const { earliest, latest } = commonSeconds(shards);
  const capture = answer?.captures.find(({ instance }) => instance === iid) ?? null;
  return {
    instance: iid,
    earliest: edge(earliest),
    latest: edge(latest),
    holes: shards.reduce((sum, { holes }) => sum + holes.length, 0),
    backups: catalog.snapshots(iid).length,
    capture: capture === null ? null : { ...capture, provenTo: edge(capture.provenTo) },
  };
}

function edge(second: number | null): string | null {
  return second === null ? null : formatSecond(second);
}
