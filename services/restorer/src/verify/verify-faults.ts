import type { InstanceEvent, WriterLogId } from '@tidemark/catalog';
import { KeyError, TidemarkError } from '@tidemark/core';

/** Whether an object is not in the store. */
export function isMissing(cause: unknown): cause is TidemarkError {
  return cause instanceof TidemarkError && cause.code === 'TM_STORE_MISSING';
}

/** Takes writers and destroyed keys from an event of an instance log. */
export function noteEvent(
  event: InstanceEvent,
  iid: string,
  {
    writers,
    met,
  }: {
    readonly writers: WriterLogId[];
    readonly met: { readonly shredded: Set<string> };
  },
): void {
  if (event.type === 'WriterRegistered') {
    writers.push({ iid, shard: event.shard, writer: event.writer });
  }
  if (event.type !== 'KeyShredded' || event.dekIds === null) return;
  for (const dekId of event.dekIds) met.shredded.add(dekId);
}

/** A key that was destroyed on purpose and is there all the same. */
export function leftOver(path: string): KeyError {
  return new KeyError('TM_KEY_SHREDDED', `${path} is there, though the log says it was destroyed`, {
    context: { object: path },
    hint: 'destroy it again: tidemark repo shred',
  });
}
