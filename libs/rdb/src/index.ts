export { RdbChecker, type RdbCheck, type RdbCheckerOptions } from './check/rdb-checker.ts';
export { EMPTY_RDB } from './format/empty-rdb.ts';
export { hasFieldTtl, type RdbProduct, typeName, typeVersion } from './format/types.ts';
export {
  adaptDumpPayload,
  dumpPayload,
  type DumpEntry,
  type DumpOptions,
} from './dump/dump-payload.ts';
export { type ContentKind, type ContentVisitor, visitDumpContent } from './dump/dump-content.ts';
export { type DumpFacts, readDumpPayload } from './dump/read-dump.ts';
export { isEntry, type OpenElement, type RdbBatch, ROW } from './scan/rows.ts';
export { RdbScanner } from './scan/scanner.ts';
export type { RdbSummary } from './scan/summary.ts';
export type { RdbHeader } from './scan/header.ts';
export { passRdb } from './stages/pass-rdb.ts';
export { type RdbEntry, scanRdbEntries } from './stages/rdb-entries.ts';
export { rewriteRdb } from './stages/rewrite-rdb.ts';
export type { RewriteRdbOptions } from './stages/rewrite-rules.ts';
export { type LargeEntry, LargestEntries } from './survey/largest-entries.ts';
export { RdbSurvey, type KindCount } from './survey/rdb-survey.ts';
export { VALUE_KINDS, type ValueKind, valueKind } from './survey/value-kind.ts';
