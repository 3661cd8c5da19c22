import { join } from 'node:path';
import type { InstanceLog } from '@tidemark/catalog';
import type { SourceKind } from './capture/capture-source.ts';

/** Only one shard is captured per instance as long as clusters are not. */
export const SHARD = '0';

/** A writer of an instance, and the source that it captures it through. */
export interface InstanceWriter {
  readonly writer: string;
  readonly source: SourceKind;
}

/** The writers of an instance, one for each source that it was ever captured through. */
export function writersOf(state: InstanceLog['state']): readonly InstanceWriter[] {
  return state.writers.filter(({ shard, retiredMs }) => shard === SHARD && retiredMs === null);
}

/** Where what came by replication waits to be read. */
export function wireDirOf(id: string, stateDir: string): string {
  return join(stateDir, 'spool', `${id}.wire`);
}
