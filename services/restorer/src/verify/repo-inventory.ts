import { instancePrefix, instanceRecordKey, parseObjectKey } from '@tidemark/archive';
import type { ObjectStore } from '@tidemark/store';

const INSTANCES = 'v1/instance/';
const KEYS = 'v1/keys/';
const UNDO = 'v1/undo/';
const TDE = 'v1/tde/';

/** A part of an undo pack. */
export interface UndoPlace {
  readonly key: string;
  readonly restore: string;
  readonly part: number;
}

/** What the names in a store say of one instance. */
export interface InstanceInventory {
  readonly iid: string;
  hasRecord: boolean;
  /** One object of each writer that has any, by `<shard>/<writer>`. */
  readonly writers: Map<string, string>;
  /** Sequence numbers of checkpoints, by `<shard>/<writer>`. */
  readonly checkpoints: Map<string, number[]>;
  /** Sequence numbers of checkpoints of the instance's own log. */
  readonly ownCheckpoints: number[];
  /** Every wrapped data key: its object key, and the id of the data key. */
  readonly dataKeys: Map<string, string>;
  /** Parts of undo packs. */
  readonly undoParts: UndoPlace[];
  /** A marker says that TDE is on. */
  hasTdeMarker: boolean;
}

/**
 * Lists the objects of all instances, or of one. What a log says is there can be looked for; that
 * the beginning or end of a log is gone shows only by what is left of the rest.
 *
 * Memory grows with the number of writers, checkpoints, data keys and parts of undo packs.
 */
export async function takeInventory(
  store: ObjectStore,
  options: { readonly signal: AbortSignal; readonly iid?: string },
): Promise<readonly InstanceInventory[]> {
  const { signal, iid } = options;
  const found = new Map<string, InstanceInventory>();
  for (const top of [INSTANCES, KEYS, UNDO, TDE]) {
    const prefix = iid === undefined ? top : `${top}${iid}/`;
    for await (const batch of store.list(prefix, { signal })) {
      for (const { key } of batch) note(found, key);
    }
  }
  return [...found.values()].sort((a, b) => (a.iid < b.iid ? -1 : 1));
}

function note(found: Map<string, InstanceInventory>, key: string): void {
  const parts = parseObjectKey(key);
  if (parts === null) return; // not ours
  const { iid } = parts;
  let inventory = found.get(iid);
  if (inventory === undefined) {
    inventory = {
      iid,
      hasRecord: false,
      writers: new Map(),
      checkpoints: new Map(),
      ownCheckpoints: [],
      dataKeys: new Map(),
      undoParts: [],
      hasTdeMarker: false,
    };
    found.set(iid, inventory);
  }
  switch (parts.kind) {
    case 'record':
      inventory.hasRecord = key === instanceRecordKey(iid);
      return;
    case 'instance-log':
    case 'tde-canary': // left by a killed process; its data key stands among the others
      return;
    case 'instance-checkpoint':
      inventory.ownCheckpoints.push(Number(parts.seq));
      return;
    case 'tde-marker':
      inventory.hasTdeMarker = true;
      return;
    case 'wrapped-key':
      inventory.dataKeys.set(key, parts.dekId);
      return;
    case 'undo':
      inventory.undoParts.push({ key, restore: parts.restore, part: Number(parts.part) });
      return;
    case 'checkpoint': {
      const writer = `${parts.shard}/${parts.writer}`;
      const seqs = inventory.checkpoints.get(writer) ?? [];
      seqs.push(Number(parts.seq));
      inventory.checkpoints.set(writer, seqs);
      inventory.writers.set(writer, key);
      return;
    }
    default:
      inventory.writers.set(`${parts.shard}/${parts.writer}`, key);
  }
}

/** Whether anything of an instance is in a store, be it damaged. */
export async function isInStore(
  iid: string,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<boolean> {
  for await (const _ of store.list(instancePrefix(iid), { signal })) return true;
  return false;
}
