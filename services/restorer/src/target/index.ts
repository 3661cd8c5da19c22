export { abandonTarget, type Abandoned, type AbandonOptions } from './abandon.ts';
export { attachTarget, type AttachOptions } from './attach.ts';
export { countKeys, findVanishing, type DatabaseCount } from './count-keys.ts';
export {
  checkReplay,
  finishTarget,
  promoteTarget,
  type FinishOptions,
  type Promotion,
  type TargetOutcome,
} from './finish.ts';
export { persistTarget, type Persisted, type PersistOptions } from './persist.ts';
export { preflightTarget } from './preflight.ts';
export { canLoadRdb, newestRdbVersion, type LoaderFacts } from './rdb-support.ts';
export { findRefusals, type TargetNeeds } from './refusals.ts';
export { applySettings, restoreSettings } from './settings.ts';
export { readTargetFacts, type TargetFacts } from './target-facts.ts';
export {
  makeTargetRecord,
  parseTargetRecord,
  type ChangedSetting,
  type TargetRecord,
} from './target-record.ts';
