import { packsBeingUndone } from '@tidemark/catalog';
import type { NodeClient, NodeFacts } from '@tidemark/client';
import type { RestoreEnvironment } from '../run/environment.ts';
import { clearEnds, refuseClearTransport, refuseOriginal } from '../tde/instance-tde.ts';
import type { SparedServer } from '../preview/preview.ts';
import { Side } from './compare/side.ts';
import { openThrottle, type OpenThrottle } from './throttle/open-throttle.ts';
import { EarlierWrites } from './undo/earlier-writes.ts';
import { listUndoParts, removeExpiredPacks } from './undo/undo-objects.ts';
import { UndoPackWriter } from './undo/undo-pack-writer.ts';
import { undoTimeMs } from './undo/undo-time.ts';
import { KeyWriter } from './write/key-writer.ts';
import { openOriginal } from './write/open-original.ts';
import { serverTimeMs } from './write/read-present.ts';
import { WriteTally } from './write/write-tally.ts';
import type { ConflictPolicy } from './write/write-task.ts';

/** Everything that one run of writing into the original needs. */
export interface WriteSession extends AsyncDisposable {
  readonly client: NodeClient;
  readonly facts: NodeFacts;
  readonly side: Side;
  readonly throttle: OpenThrottle;
  readonly undo: UndoPackWriter;
  readonly writer: KeyWriter;
  readonly tally: WriteTally;
  /** What an earlier run has written under this undo pack; null: there was none. */
  readonly earlier: EarlierWrites | null;
}

/** What a run of writing is asked for. */
export interface WriteSessionWish {
  readonly instance: string;
  /** Id of the restore or undo: the name of its undo pack. */
  readonly id: string;
  /** Id whose undo pack is being read; absent = none. */
  readonly undoes?: string;
  readonly live: SparedServer;
  readonly policy: ConflictPolicy;
  /** How long the undo pack is good for. */
  readonly retainMs: number;
}

/**
 * Opens the original for writing, after all checks. Undo packs that are over their time are removed.
 * @throws TidemarkError as `openOriginal`, `listUndoParts`; `TM_TDE_DENIED` for an instance with TDE
 *   that does not allow it, or over a network without TLS.
 */
export async function openWriteSession(
  wish: WriteSessionWish,
  environment: RestoreEnvironment,
): Promise<WriteSession> {
  const { store, keys, clock, random, signal } = environment;
  const { instance, id, live, policy } = wish;
  const tde = await refuseOriginal(instance, environment);
  const { client, facts } = await openOriginal(live.address, { signal, random });
  const opened: AsyncDisposable[] = [client];
  try {
    refuseClearTransport(tde, clearEnds(client));
    const { latencyMaxMs, rate } = live;
    const throttle = await openThrottle(live.address, { clock, latencyMaxMs, rate, signal });
    opened.unshift(throttle);
    const side = await Side.open(client, { throttle, signal });
    const nowMs = await undoTimeMs({ store, clock, signal }, await serverTimeMs(side));
    const inUse = async (): Promise<readonly string[]> => [
      ...[id, wish.undoes ?? id],
      ...(await packsReadNow(instance, nowMs, environment)),
    ];
    await removeExpiredPacks(instance, { nowMs, inUse }, { store, keys, signal });
    const before = await listUndoParts(instance, id, { store, signal });
    const earlier =
      before.length === 0 ? null : await EarlierWrites.read(before, { store, keys, signal });
    const tally = new WriteTally();
    const undo = new UndoPackWriter({
      ...{ instance, restore: id, store, keys, random, clock, signal },
      ...{ retainMs: wish.retainMs, firstPart: before.length },
    });
    const { cluster } = facts;
    const writer = new KeyWriter({
      ...{ side, undo, throttle, policy, cluster, random, signal, tally },
    });
    return {
      ...{ client, facts, side, throttle, undo, writer, tally, earlier },
      async [Symbol.asyncDispose]() {
        undo[Symbol.dispose]();
        for (const one of opened) await one[Symbol.asyncDispose]();
      },
    };
  } catch (cause) {
    for (const one of opened) await one[Symbol.asyncDispose]();
    throw cause;
  }
}

/** What undos of any host read now: by the log of the instance, as it is at this moment. */
async function packsReadNow(
  instance: string,
  nowMs: number,
  { store, keys, catalog, signal }: RestoreEnvironment,
): Promise<readonly string[]> {
  const logKey = (iid: string): ReturnType<typeof keys.logKey> => keys.logKey(iid);
  await catalog.sync({ store, instances: [instance], logKey, signal });
  return packsBeingUndone(catalog.instance(instance).leases, nowMs);
}
