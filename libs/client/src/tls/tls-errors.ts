import { NodeError } from '@tidemark/core';

/** What is known when a connection with TLS fails. */
export interface TlsFailure {
  /** The node, as messages name it. */
  readonly node: string;
  /** The name that its certificate must have. */
  readonly name: string;
  /** Whether we have a certificate to show. */
  readonly shows: boolean;
  /** The subject of its certificate, where it got that far. */
  readonly subject: string | null;
  /** How far it came. */
  readonly phase: 'handshake' | 'hello';
}

const VERIFY_REASONS: Readonly<Record<string, readonly [string, string, string]>> = {
  CERT_HAS_EXPIRED: ['expired', 'has expired', 'renew it on the node, or an authority above it'],
  CERT_NOT_YET_VALID: [
    'not-yet-valid',
    'is not valid yet',
    'check the clocks of this machine and of whoever made the certificate',
  ],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'wrong-name',
    'has another name',
    'use a name of the certificate in the address, or say which one is meant: --tls-name NAME, tls_server_name',
  ],
  INVALID_PURPOSE: [
    'wrong-use',
    'is not one of a server',
    'it lacks the extended key usage serverAuth: make one for servers',
  ],
};
const UNKNOWN_CA = [
  'unknown-ca',
  'comes from an authority that is not trusted',
  'name the certificate of its authority: --tls-ca FILE, tls_ca_file; during a rotation both',
] as const;

/** The certificate of a node that was not taken; `code` as OpenSSL and Node.js name it. */
export function verifyError(code: string, failure: TlsFailure): NodeError {
  const isCa = /ISSUER|SELF_SIGNED|VERIFY_LEAF|UNTRUSTED|CHAIN_TOO_LONG/.test(code);
  const other = [code.toLowerCase(), `is not taken (${code})`, UNKNOWN_CA[2]] as const;
  const [reason, what, hint] = VERIFY_REASONS[code] ?? (isCa ? UNKNOWN_CA : other);
  const { node, name, subject } = failure;
  return new NodeError('TM_TLS_VERIFY', `the certificate of ${node} ${what}`, {
    context: { node, reason, name, subject },
    hint,
  });
}

/** Alerts by which a server refuses our certificate, or asks for one (RFC 8446, section 6). */
const CERTIFICATE_ALERT =
  /ALERT_(CERTIFICATE_REQUIRED|NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)/;
const VERSION_FAULT = /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|WRONG_SSL_VERSION|VERSION_TOO_LOW/;
const NO_TLS = /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNKNOWN_PROTOCOL/;

/**
 * A failed handshake as an error with a code.
 * @returns Null where TLS has no part in it (the connection was reset or closed).
 */
export function tlsError(code: string, failure: TlsFailure): NodeError | null {
  if (CERTIFICATE_ALERT.test(code)) return clientCertificateError(alertOf(code), failure);
  if (NO_TLS.test(code)) return plainPortError(failure.node);
  if (!code.startsWith('ERR_SSL_') && !code.startsWith('ERR_TLS_')) return null;
  // TLS 1.2 has no alert for a certificate that is missing: the server had shown its own by then.
  if (/ALERT_HANDSHAKE_FAILURE/.test(code) && failure.subject !== null) {
    return clientCertificateError('handshake-failure', failure);
  }
  const { node } = failure;
  const version = VERSION_FAULT.test(code);
  return new NodeError(
    'TM_TLS_PROTOCOL',
    version
      ? `${node} speaks no TLS version that is allowed here`
      : `TLS with ${node} failed: ${code.replace(/^ERR_(SSL|TLS)_/, '').toLowerCase()}`,
    {
      context: { node, reason: version ? 'version' : 'handshake', alert: alertOf(code) },
      hint: version
        ? 'TLS 1.2 is the oldest: set tls-protocols "TLSv1.2 TLSv1.3" on the node; or --tls-min-version is too new for it'
        : 'both sides need a cipher in common: see --tls-ciphers here, tls-ciphers and tls-ciphersuites on the node',
    },
  );
}

/** The node does not take the certificate that we showed, or that we did not show. */
export function clientCertificateError(reason: string, failure: TlsFailure): NodeError {
  const { node, shows } = failure;
  const message = shows ? `${node} refuses our certificate` : `${node} wants a certificate of ours`;
  return new NodeError('TM_TLS_CLIENT_CERT', `${message} (${reason})`, {
    context: { node, reason, shown: shows },
    hint: shows
      ? 'the node must trust its authority (tls-ca-cert-file), and it must be good for clients (clientAuth) and not expired'
      : 'name one and its key: --tls-cert FILE --tls-key FILE; or the node does without: tls-auth-clients no',
  });
}

/** Somebody answered, but not in TLS. */
export function plainPortError(node: string): NodeError {
  const plain = node.replace(/^rediss:/, 'redis:');
  return new NodeError('TM_TLS_PROTOCOL', `${node} does not speak TLS`, {
    context: { node, reason: 'plain-port' },
    hint: `the port is a plain one: name the TLS port of the node (tls-port), or say ${plain} to go without TLS`,
  });
}

/** A port with TLS was spoken to without. */
export function tlsPortError(node: string): NodeError {
  const secure = node.replace(/^redis:/, 'rediss:');
  return new NodeError('TM_TLS_PROTOCOL', `${node} speaks TLS only`, {
    context: { node, reason: 'tls-port' },
    hint: `write ${secure} and name the authority of its certificate: --tls-ca FILE`,
  });
}

function alertOf(code: string): string {
  return code
    .replace(/^ERR_(SSL|TLS)_/, '')
    .replace(/^(SSLV3|TLSV1|TLSV13)_ALERT_/, '')
    .toLowerCase()
    .replaceAll('_', '-');
}
