/** Names of events on the bus that differ from the rule: dots between the words of the log's name. */
const NAMES: Readonly<Record<string, string>> = {
  OwnerClaimed: 'writer.claimed',
  Released: 'writer.released',
  Heartbeat: 'writer.heartbeat',
  SegmentStored: 'segment.shipped',
  SegmentsMerged: 'segment.merged',
  SnapshotStored: 'backup.completed',
  HoleProven: 'gap.closed',
  BackupsForgotten: 'backup.forgotten',
  PolicySet: 'policy.changed',
  TdeEnabled: 'tde.enabled',
  TdeKeyChanged: 'tde.rewrapped',
  InstanceRecycled: 'recycle.entered',
  InstanceRebuilt: 'recycle.rebuilt',
  InstanceDue: 'recycle.due',
  InstanceDestroyed: 'recycle.destroyed',
};

/** The name of an event on the bus: `tidemark.` and one of the above, or e.g. `timeline.opened`. */
export function eventType(type: string): string {
  const words = type.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '.').toLowerCase();
  return `tidemark.${Object.hasOwn(NAMES, type) ? (NAMES[type] ?? words) : words}`;
}
