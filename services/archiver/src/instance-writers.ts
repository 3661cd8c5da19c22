import { join } from 'node:path';
import type { InstanceLog } from '@tidemark/catalog';

/** Only one shard is captured per instance as long as clusters are not. */
export const SHARD = '0';

type KnownWriter = InstanceLog['state']['writers'][number];

/** Whether a writer is one of those that capture the instance. */
export function isInUse({ shard, retiredMs }: KnownWriter): boolean {
  return shard === SHARD && retiredMs === null;
}

/** The writers of an instance, one for each source that it was ever captured through. */
export function writersOf(log: InstanceLog): readonly KnownWriter[] {
  return log.state.writers.filter(isInUse);
}

/** Where what is sealed waits for the store. What a later run of another source does not know lies apart. */
export function spoolDirOf(id: string, source: KnownWriter['source'], stateDir: string): string {
  return join(stateDir, 'spool', source === 'psync' ? `${id}.psync` : id);
}

/** Where what came by replication waits to be read. */
export function wireDirOf(id: string, stateDir: string): string {
  return join(stateDir, 'spool', `${id}.wire`);
}
