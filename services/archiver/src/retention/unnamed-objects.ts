import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseObjectKey, writerPrefix } from '@tidemark/archive';
import type { Catalog, Tombstone, UnnamedObjects } from '@tidemark/catalog';
import type { ObjectInfo } from '@tidemark/store';
import { replaceFile } from '@tidemark/system';
import type { RetentionPorts } from './retention-ports.ts';

/** Objects without a name that one tombstone marks; the next one marks more. */
const UNNAMED_MAX = 100_000;

/** Objects without a name, and how the log speaks of them. */
export interface FoundUnnamed extends UnnamedObjects {
  readonly keys: readonly string[];
}

/**
 * Lists segments and snapshots of an instance that no log names (any more): those that a merged one
 * took the place of, and what a killed archiver put and never named.
 *
 * A segment beyond the durable end of its timeline is on its way into the log. A writer without an
 * entry has lost its log: what is there was named in it.
 * @param bytesMax - Most that may be marked, backups that somebody deleted not counted: those are here
 *   when the store held them (Object Lock). `limited` says that there is more.
 */
export async function findUnnamed(
  instance: string,
  bytesMax: number,
  ports: Pick<RetentionPorts, 'store' | 'catalog' | 'signal'>,
): Promise<{ readonly unnamed: FoundUnnamed | null; readonly limited: boolean }> {
  const { store, catalog, signal } = ports;
  const isNamed = namesOf(instance, catalog);
  const dropped = catalog.retention((ask) => ask.droppedKeys(instance));
  const ends = new Map(catalog.timelines(instance).map(({ timeline, end }) => [timeline, end]));
  const found: ObjectInfo[] = [];
  let [bytes, counted, limited] = [0, 0, false];
  for (const { shard, writer, state } of catalog.writers(instance)) {
    if (state.seq < 0) continue;
    for (const folder of ['rdb/', 'seg/']) {
      const prefix = writerPrefix(instance, shard, writer) + folder;
      for await (const batch of store.list(prefix, { signal })) {
        for (const object of batch) {
          const parts = parseObjectKey(object.key);
          if (parts === null || isNamed(object.key)) continue;
          if (parts.kind === 'segment' && parts.start >= (ends.get(parts.timeline) ?? 2n ** 64n)) {
            continue;
          }
          const own = dropped.has(object.key) ? 0 : object.size;
          if (counted + own > bytesMax) {
            limited = true;
            continue;
          }
          counted += own;
          bytes += object.size;
          found.push(object);
        }
        if (found.length >= UNNAMED_MAX) break;
      }
    }
  }
  if (found.length === 0) return { unnamed: null, limited };
  const keys = found.map(({ key }) => key).sort();
  return { unnamed: { keys, objects: keys.length, bytes, digest: digestOf(keys) }, limited };
}

/** Asks whether a log names the object with a key, as far as the catalog has read. */
export function namesOf(instance: string, catalog: Catalog): (key: string) => boolean {
  const snapshots = catalog.retention((ask) => ask.snapshotKeys(instance));
  return (key) => {
    const parts = parseObjectKey(key);
    if (parts?.kind === 'snapshot') return snapshots.has(key);
    if (parts?.kind !== 'segment') return true; // not ours to judge
    const { timeline, start } = parts;
    return catalog.retention((ask) => ask.namesSegment(timeline, start, key));
  };
}

/** Keeps the list of what a tombstone marks, so that nothing else is taken for it later. */
export class UnnamedFile {
  readonly #dir: string;
  readonly #path: string;

  constructor(stateDir: string, instance: string) {
    this.#dir = join(stateDir, 'expire');
    this.#path = join(this.#dir, `${instance}.keys`);
  }

  async write({ keys }: FoundUnnamed): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await replaceFile(this.#path, linesOf(keys));
  }

  /** The keys that a tombstone marked; none where the list is lost: they are marked anew. */
  async read({ unnamed }: Pick<Tombstone, 'unnamed'>): Promise<readonly string[]> {
    if (unnamed === null) return [];
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch {
      return [];
    }
    const keys = text.split('\n').slice(0, -1);
    return digestOf(keys) === unnamed.digest ? keys : [];
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

function digestOf(keys: readonly string[]): string {
  return createHash('sha256').update(linesOf(keys)).digest('hex');
}

function linesOf(keys: readonly string[]): string {
  return keys.map((key) => `${key}\n`).join('');
}
