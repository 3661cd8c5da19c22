import { parseObjectKey, writerLogPrefix } from '@tidemark/archive';
import {
  findLogCut,
  neededFacts,
  withFloors,
  type Amount,
  type CatalogWriter,
  type RetentionFloor,
} from '@tidemark/catalog';
import type { LogKey } from '@tidemark/crypto';
import type { RetentionPorts } from './retention-ports.ts';

/** Where the log of a writer is cut. */
export interface WriterCut {
  readonly shard: string;
  readonly writer: string;
  /** Entries up to it go. */
  readonly seq: number;
  /** Checkpoints up to it that stay. */
  readonly checkpoints: readonly number[];
  /** Entries that are still there. */
  readonly entries: Amount;
}

/**
 * Finds where the logs of an instance can be cut once floors stand: what is kept lies behind, or in
 * the checkpoint.
 */
export async function findCuts(
  instance: string,
  floors: readonly RetentionFloor[],
  ports: Pick<RetentionPorts, 'store' | 'catalog' | 'keys' | 'signal'>,
): Promise<readonly WriterCut[]> {
  const logKey = await ports.keys.logKey(instance);
  const cuts: WriterCut[] = [];
  for (const writer of ports.catalog.writers(instance)) {
    const cut = await cutOf(instance, writer, { floors, logKey, ...ports });
    if (cut !== null && cut.entries.objects > 0) cuts.push(cut);
  }
  return cuts;
}

async function cutOf(
  iid: string,
  { shard, writer, state }: CatalogWriter,
  options: Pick<RetentionPorts, 'store' | 'catalog' | 'signal'> & {
    readonly floors: readonly RetentionFloor[];
    readonly logKey: LogKey;
  },
): Promise<WriterCut | null> {
  const { catalog, floors, store, logKey, signal } = options;
  const floor = floors.find((each) => each.writer === writer) ?? null;
  const needed = catalog.retention((ask) => ask.neededEntries(iid, writer, floor));
  const facts = firstFacts(iid, writer, options);
  const first = (a: number | null, b: number | null): number | null =>
    a === null || b === null ? (a ?? b) : Math.min(a, b);
  const found = await findLogCut(
    { store, iid, shard, writer, logKey, signal, keyProven: true },
    {
      bodies: first(needed.bodies, facts),
      any: first(needed.any, facts),
      lastSeq: state.seq,
    },
  );
  if (found === null) return null;
  const place = { iid, shard, writer };
  let entries: Amount = { objects: 0, bytes: 0 };
  for await (const { size } of entriesUpTo(found.seq, place, options)) {
    entries = { objects: entries.objects + 1, bytes: entries.bytes + size };
  }
  return { shard, writer, ...found, entries };
}

/** Number of the first entry with node facts that a restore of something kept may ask for. */
export function firstFacts(
  iid: string,
  writer: string,
  { catalog, floors }: Pick<RetentionPorts, 'catalog'> & { floors: readonly RetentionFloor[] },
): number | null {
  const facts = catalog.retention((ask) => ask.facts(iid, writer));
  const state = catalog.instance(iid);
  const shards = catalog.retention((ask) => ask.shards(iid, false, state));
  const history = shards
    .flatMap((shard) => withFloors(shard, floors).writers)
    .find((each) => each.writer === writer);
  const snapshots = history?.timelines.flatMap((each) => each.snapshots) ?? [];
  const serving = snapshots.filter(({ shredded }) => shredded !== true);
  const from = serving.reduce<number | null>(
    (least, one) => (least === null ? one.from : Math.min(least, one.from)),
    null,
  );
  return neededFacts(facts, from)?.seq ?? null;
}

/** An entry as a listing shows it. */
interface LoggedEntry {
  readonly key: string;
  readonly size: number;
  readonly seq: number;
}

/** Entries of a writer log up to one, oldest first. */
export async function* entriesUpTo(
  seq: number,
  place: { readonly iid: string; readonly shard: string; readonly writer: string },
  { store, signal }: Pick<RetentionPorts, 'store' | 'signal'>,
): AsyncGenerator<LoggedEntry> {
  const prefix = writerLogPrefix(place.iid, place.shard, place.writer);
  for await (const batch of store.list(prefix, { signal })) {
    for (const { key, size } of batch) {
      const parts = parseObjectKey(key);
      if (parts?.kind !== 'log') continue;
      if (parts.seq > BigInt(seq)) return;
      yield { key, size, seq: Number(parts.seq) };
    }
  }
}
