import { UsageError } from '@tidemark/core';
import { wipeDataKey, type DataKey } from '@tidemark/crypto';
import type { FooterReaderOptions } from '../fetch/footer-reader.ts';
import { unwrapDataKey } from '../fetch/plan-keys.ts';
import { expectCommandStart } from '../plan/command-start.ts';
import type { LookInside, WriterPlace } from '../plan/look-inside.ts';
import { snapToBoundary } from '../plan/snap-to-boundary.ts';
import { readerOf, type FeederSources } from './opened-order.ts';

/** What reads parts of a log before there is a plan. Disposing zero-fills its keys. */
export interface OpenedLog extends Disposable {
  readonly footers: FooterReaderOptions;
}

/** Opens data keys of a log as they are asked for. */
export async function openLog(
  place: WriterPlace,
  { store, keys }: Pick<FeederSources, 'store' | 'keys'>,
  signal: AbortSignal,
): Promise<OpenedLog> {
  const logKey = await keys.logKey(place.instance);
  const opened = new Map<string, DataKey>();
  const keyOf = (dekId: string): DataKey => {
    const key = opened.get(dekId);
    if (key === undefined) throw new UsageError('TM_USAGE', 'a data key was not fetched');
    return key;
  };
  return {
    footers: {
      reader: readerOf(place, { logKey, store, signal, keyOf }),
      keyOf: async (dekId) => {
        const context = { instance: place.instance, dekId, purpose: 'segments' } as const;
        const key = opened.get(dekId) ?? (await unwrapDataKey(context, store, keys));
        opened.set(dekId, key);
        return key;
      },
    },
    [Symbol.dispose]: () => {
      for (const key of opened.values()) wipeDataKey(key);
    },
  };
}

/** Looks into a log here; each look opens its keys and zero-fills them. */
export function lookHere(
  place: WriterPlace,
  sources: Pick<FeederSources, 'store' | 'keys'>,
  signal: AbortSignal,
): LookInside {
  return {
    boundary: async (offset, floor, segments) => {
      using log = await openLog(place, sources, signal);
      return await snapToBoundary(offset, floor, segments, log.footers);
    },
    commandStart: async (offset, segments, within) => {
      using log = await openLog(place, sources, signal);
      await expectCommandStart(offset, segments, within, log.footers);
    },
  };
}
