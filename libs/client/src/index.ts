export { backoffMs, pauseBeforeRetry } from './backoff.ts';
export { dialNode, type DialOptions } from './dial.ts';
export { Info } from './info.ts';
export { connectLocated } from './locator/connect-located.ts';
export { fixedLocator, type NodeLocator } from './locator/node-locator.ts';
export { openSentinelLocator, type SentinelSettings } from './locator/sentinel-locator.ts';
export { isSentinelUrl, parseSentinelUrl, type SentinelUrl } from './locator/sentinel-url.ts';
export { describeAddress, parseNodeUrl, type NodeAddress } from './node-address.ts';
export { connectNode, type Argument, type ConnectOptions, type NodeClient } from './node-client.ts';
export { parseVersion, readNodeFacts, type NodeFacts, type ReplicaFacts } from './node-facts.ts';
export { checkRights, commandName, type WantedCommand } from './rights.ts';
export { adviseSource, type SourceAdvice } from './safety/source-advice.ts';
export { measureSource, parseOutputLimit, type SourceLoad } from './safety/source-load.ts';
export { takeSample, type NodeSample } from './sample.ts';
export { encodeConfigFile } from './server/config-file.ts';
export {
  startServer,
  type ServerExit,
  type ServerProcess,
  type StartServerOptions,
} from './server/start-server.ts';
export { daysLeft, type TlsExpiry } from './tls/expiry.ts';
export {
  openNodeTls,
  type NodeTls,
  type TlsHooks,
  type TlsPeer,
  type TlsPlace,
} from './tls/node-tls.ts';
export { readPemSet, type PemSet } from './tls/pem-set.ts';
export type { TlsSettings, TlsVersion } from './tls/tls-settings.ts';
export type { CertificateFacts } from './tls/trust.ts';
