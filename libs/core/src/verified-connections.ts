import { UsageError } from './errors/tidemark-error.ts';

/**
 * Refuses a process in which Node.js was told to verify no certificate (of the variable only `0` says
 * so). Connections to nodes verify in any case; those of the AWS libraries, and of what finds their
 * credentials, would not.
 * @param environment - That of the process.
 * @throws UsageError `TM_TLS_SETTINGS`.
 */
export function refuseUnverified(environment: Readonly<Record<string, string | undefined>>): void {
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0') return;
  throw new UsageError('TM_TLS_SETTINGS', 'NODE_TLS_REJECT_UNAUTHORIZED=0 is set', {
    hint: 'unset it; to trust an authority of your own, name its certificate: --tls-ca FILE or tls_ca_file for nodes, NODE_EXTRA_CA_CERTS for the store and the key service',
  });
}
