import { UsageError } from '@tidemark/core';

/** Flags of `instance add` that belong to the append-only files. */
export interface AofFlags {
  readonly aofDir?: string;
  readonly hold: boolean;
}

/** @throws UsageError `TM_USAGE` for flags that do not go with `--source psync`. */
export function refuseAofFlags({ aofDir, hold }: AofFlags): void {
  const flag = aofDir !== undefined ? '--aof-dir' : hold ? '--hold' : null;
  if (flag === null) return;
  throw new UsageError('TM_USAGE', `${flag} does not go with --source psync`, {
    hint: 'a capture by replication reads no files of the node',
  });
}
