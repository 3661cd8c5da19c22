import type { Catalog, CatalogTimeline } from '@tidemark/catalog';
import { compareDatasets, type Difference } from '../compare/compare-datasets.ts';
import type { RestoreEnvironment } from '../run/environment.ts';
import { findObstacle, type HoleEnds } from './hole-evidence.ts';
import { restoreIntoScratch } from '../scratch/scratch-server.ts';

/** Differences that are named; the comparison ends with the last of them. */
const DIFFERENCES_MAX = 10;

/** What became of one hole. */
export interface HoleProof {
  /** The timelines before and after it. */
  readonly closed: string;
  readonly opened: string;
  /**
   * Seconds between them, inclusive: `to` is before `from` when no whole second lies between. Null
   * when one of the two serves no second.
   */
  readonly from: number | null;
  readonly to: number | null;
  readonly proven: boolean;
  /** Why it stays; null when it is proven. */
  readonly reason: string | null;
  /** Keys that were compared. */
  readonly keys: number;
  /** The first ones between the old end and the new beginning. */
  readonly differences: readonly Difference[];
}

/** Pairs of timelines of an instance between which a rewrite came that nobody saw. */
export function openHoles(catalog: Catalog, instance: string): readonly HoleEnds[] {
  const timelines = catalog.timelines(instance);
  return timelines.flatMap((opened: CatalogTimeline) => {
    if (opened.joined || opened.openedBecause !== 'rewrite-unobserved') return [];
    const closed = timelines.find(({ timeline }) => timeline === opened.previous);
    return closed === undefined ? [] : [{ closed, opened }];
  });
}

/**
 * Tries to prove that nothing is missing between two timelines: the end of the old one and the first
 * snapshot of the new one are restored into two scratch servers and compared.
 *
 * The proof is not recorded here. Both datasets are in memory at the same time.
 * @throws TidemarkError as `restore`.
 */
export async function proveHole(
  ends: HoleEnds,
  environment: RestoreEnvironment,
): Promise<HoleProof> {
  const { closed, opened } = ends;
  const { catalog, signal, onProgress } = environment;
  const result = (
    reason: string | null,
    compared: { readonly keys: number; readonly differences: readonly Difference[] },
  ): HoleProof => ({
    closed: closed.timeline,
    opened: opened.timeline,
    from: closed.provenTo === null ? null : closed.provenTo + 1,
    to: opened.from === null ? null : opened.from - 1,
    proven: reason === null,
    reason,
    ...compared,
  });
  const nothing = { keys: 0, differences: [] };
  const snapshot = catalog
    .snapshots(opened.iid)
    .find(({ timeline, offset }) => timeline === opened.timeline && offset === 0n);
  if (snapshot === undefined || closed.from === null) {
    return result('a snapshot of the old or of the new log is not stored (yet)', nothing);
  }
  const obstacle = await findObstacle(ends, environment);
  const end = { kind: 'offset', offset: closed.end, timeline: closed.timeline } as const;
  await using before = await restoreIntoScratch({ instance: closed.iid, point: end }, environment);
  const { cut } = before.report;
  if (cut.offset !== closed.end.toString()) {
    return result('the old log ends within a command or a transaction', nothing);
  }
  const { timeline, offset } = snapshot;
  const base = { kind: 'offset', offset, timeline } as const;
  await using after = await restoreIntoScratch({ instance: opened.iid, point: base }, environment);
  const compared = await compareDatasets(before.client, after.client, {
    differencesMax: DIFFERENCES_MAX,
    signal,
    onProgress: (keys) => onProgress({ phase: 'compare', bytes: keys, bytesTotal: 0 }),
  });
  const differ = compared.differences.length > 0 ? 'the two datasets differ' : null;
  return result(differ ?? obstacle, compared);
}
