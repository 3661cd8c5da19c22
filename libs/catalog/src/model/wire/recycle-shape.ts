import {
  REBUILDS_MAX,
  type Rebuild,
  type RecycleState,
  type ReleasedNode,
} from '../instance-recycle.ts';
import { id, ms, safeId } from './common.ts';
import { fields, listOf, nullable, optional, text, type Shape } from './shape.ts';
import { captureSource } from './writer-event-shape.ts';

const actorName: Shape<string> = text(64, /^[A-Za-z0-9._@-]+$/);

/** Where an instance was when it was released. */
const releasedNode: Shape<ReleasedNode> = fields<ReleasedNode>({
  url: text(2048),
  user: nullable(text(512)),
  source: captureSource,
  passwordRef: nullable(text(128, /^[A-Za-z0-9][A-Za-z0-9._-]*$/)),
});

/** Events of the recycle bin as they stand in the header of an entry. */
export const recycleEventShapes = {
  InstanceRecycled: { node: nullable(releasedNode), by: actorName, untilMs: ms, atMs: ms },
  InstanceReturned: { by: actorName, atMs: ms },
  InstanceRebuilt: { into: nullable(safeId), job: id, by: actorName, atMs: ms },
  InstanceDue: { atMs: ms },
  InstanceDestroyed: { by: actorName, dueMs: ms, atMs: ms },
  InstanceErased: { atMs: ms },
} as const;

/** The bin in the fold of an instance log. */
export const recycleState: Shape<RecycleState> = fields<RecycleState>({
  node: nullable(releasedNode),
  by: actorName,
  sinceMs: ms,
  untilMs: ms,
  rebuilds: listOf(fields<Rebuild>({ into: nullable(safeId), job: id, atMs: ms }), REBUILDS_MAX),
  dueSinceMs: optional(ms),
  destroyed: nullable(fields({ by: actorName, atMs: ms, dueMs: ms })),
  erasedMs: nullable(ms),
});
