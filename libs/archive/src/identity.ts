import type { Identity, ObjectKind } from '@tidemark/crypto';

/** What a sealed object is: bound into its key, so that it cannot stand in for another. */
export interface ObjectIdentity {
  readonly iid: string;
  readonly writer: string;
  readonly timeline: string;
  /** Offset in the timeline at which the object starts or stands. */
  readonly start: bigint;
  readonly kind: ObjectKind;
  /** Object key; null when the object is the body of its log entry. */
  readonly key: string | null;
}

/** Node facts belong to a writer, not to one of its timelines: this stands in their identity. */
export const NODE_FACTS_PLACE: Pick<ObjectIdentity, 'timeline' | 'start'> = {
  timeline: 'node',
  start: 0n,
};

/**
 * The identity of a sealed object (docs/formats/sealed-container.md). The reader builds it from
 * what it asked for and never takes it from the object.
 *
 * The key is taken relative to the instance, so that a store copied under another prefix opens.
 */
export function objectIdentity(object: ObjectIdentity): Identity {
  const { iid, writer, timeline, start, kind, key } = object;
  const prefix = `v1/instance/${iid}/`;
  return {
    iid,
    writer,
    timeline,
    start: start.toString(),
    kind: kind.toString(),
    key: key === null ? 'log' : key.startsWith(prefix) ? key.slice(prefix.length) : key,
  };
}
