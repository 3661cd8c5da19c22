import { segmentCommands } from '@tidemark/archive';
import type { Catalog } from '@tidemark/catalog';
import type { KeyProviders } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { ObjectReader } from '../../services/restorer/src/fetch/object-reader.ts';
import { unwrapDataKey } from '../../services/restorer/src/fetch/plan-keys.ts';
import { objectOfSegment } from '../../services/restorer/src/plan/read-marks.ts';

/** Where the bytes of an instance lie, and what opens them. */
export interface StoredInstance {
  readonly catalog: Catalog;
  readonly instance: string;
  readonly store: ObjectStore;
  readonly keys: KeyProviders;
}

/** The command bytes that the store holds of the newest timeline, from its offset 0 on. */
export async function storedCommandsOf(stored: StoredInstance): Promise<Buffer> {
  const { catalog, instance, store, keys } = stored;
  const { timeline } = catalog.timelines(instance).at(-1)!;
  const logKey = await keys.logKey(instance);
  const parts: Uint8Array[] = [];
  for (const segment of catalog.segments(timeline)) {
    const { dekId, shard, writer } = segment.object;
    const context = { instance, dekId, purpose: 'segments' } as const;
    const dataKey = await unwrapDataKey(context, store, keys);
    const { signal } = new AbortController();
    const reader = new ObjectReader({
      ...{ instance, shard, writer, store, logKey, signal },
      keyOf: () => dataKey,
    });
    const payload = reader.opened(objectOfSegment(segment));
    for await (const part of segmentCommands(payload, segment.header)) parts.push(part);
  }
  return Buffer.concat(parts);
}
