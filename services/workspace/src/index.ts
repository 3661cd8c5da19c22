export {
  addInstance,
  changeInstance,
  newConfigText,
  removeInstance,
  type InstanceChange,
  type NewKeys,
} from './config/edit.ts';
export { eventsAccess, type EventsAccess } from './config/events-access.ts';
export { keySettings } from './config/keys.ts';
export { instanceTarget, loadConfig, rollAge, type Config } from './config/load.ts';
export { describeEntry, entryAddress, locateNode } from './config/node-place.ts';
export { securedAddress, tlsSettings, type TlsTable } from './config/node-tls.ts';
export type { PolicySettings } from './config/policy.ts';
export type { InstanceEntry } from './config/schema.ts';
export { ASKED, readSecret, secretSource } from './config/secret.ts';
export { listenAt } from './config/services.ts';
export { storeSettings, storeTable, type StoreFlags } from './config/store.ts';
export { parseDuration, parseSize } from './config/units.ts';
export { configuredAddress, originalAddress } from './original-node.ts';
export { readFrom, withLease, type LeaseNotes, type Reading } from './reading-lease.ts';
export { restoreEnvironment, type RestoreNotes } from './restore-environment.ts';
export { retentionRules, undoRetainMs } from './retention-rules.ts';
export { formatSecond, parseTime, type WantedTime } from './times.ts';
export { eraseSpool, forgetSecrets, keptSecretPath, type SecretOwner } from './kept-secrets.ts';
export { SwitchedSettings } from './switched-settings.ts';
export { OpenedTls, tlsLog } from './tls-log.ts';
export { freshen, Workspace } from './workspace.ts';
