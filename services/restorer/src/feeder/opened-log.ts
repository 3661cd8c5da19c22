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
  // What is being opened, too: two who ask for one key at a time are given one buffer.
  const opening = new Map<string, Promise<DataKey>>();
  let isOver = false;
  const keyOf = (dekId: string): DataKey => {
    const key = opened.get(dekId);
    if (key === undefined) throw new UsageError('TM_USAGE', 'a data key was not fetched');
    return key;
  };
  const open = async (dekId: string): Promise<DataKey> => {
    const context = { instance: place.instance, dekId, purpose: 'segments' } as const;
    const key = await unwrapDataKey(context, store, keys);
    if (isOver) {
      wipeDataKey(key);
      throw new UsageError('TM_USAGE', 'a data key came after the log was closed');
    }
    opened.set(dekId, key);
    return key;
  };
  return {
    footers: {
      reader: readerOf(place, { logKey, store, signal, keyOf }),
      keyOf: (dekId) => {
        const known = opening.get(dekId);
        if (known !== undefined) return known;
        const key = open(dekId);
        opening.set(dekId, key);
        key.catch(() => opening.delete(dekId)); // asked anew, the key may be there
        return key;
      },
    },
    [Symbol.dispose]: () => {
      isOver = true;
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
