export { hasFieldTtl, type RdbProduct, typeName, typeVersion } from './format/types.ts';
export {
  adaptDumpPayload,
  dumpPayload,
  type DumpEntry,
  type DumpOptions,
} from './dump/dump-payload.ts';
export { type DumpFacts, readDumpPayload } from './dump/read-dump.ts';
export { isEntry, type OpenElement, type RdbBatch, ROW } from './scan/rows.ts';
export { RdbScanner } from './scan/scanner.ts';
export type { RdbSummary } from './scan/summary.ts';
export type { RdbHeader } from './scan/header.ts';
export { passRdb } from './stages/pass-rdb.ts';
export { type RdbEntry, scanRdbEntries } from './stages/rdb-entries.ts';
export { rewriteRdb } from './stages/rewrite-rdb.ts';
export type { RewriteRdbOptions } from './stages/rewrite-rules.ts';
