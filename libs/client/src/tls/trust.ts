import type { X509Certificate } from 'node:crypto';

const DEPTH_MAX = 12;

/** What is told of a certificate. */
export interface CertificateFacts {
  /** Common name; without one the subject or, where that is empty, the names. 200 characters at most. */
  readonly subject: string;
  readonly issuer: string;
  /** SHA-256 of the certificate, hexadecimal with colons. */
  readonly fingerprint: string;
  /** Unix milliseconds. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** The facts of a certificate. */
export function certificateFacts(certificate: X509Certificate): CertificateFacts {
  return {
    subject: shortName(certificate.subject) || shortName(certificate.subjectAltName),
    issuer: shortName(certificate.issuer),
    fingerprint: certificate.fingerprint256,
    fromMs: Date.parse(certificate.validFrom),
    toMs: Date.parse(certificate.validTo),
  };
}

/** Subjects are chosen by whoever made the certificate: short, and nothing that moves a cursor. */
function shortName(lines: string | undefined): string {
  const parts = (lines ?? '').split('\n');
  const common = parts.findLast((part) => part.startsWith('CN='))?.slice(3);
  return (common ?? parts.join(', ')).replaceAll(/\p{Cc}/gu, '').slice(0, 200);
}

/** Whether `issuer` signed `certificate`. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/**
 * The authority of the bundle that vouches for a peer; null when none does.
 * @param chain - What the peer showed, its own certificate first.
 */
export function findAnchor(
  chain: readonly X509Certificate[],
  bundle: readonly X509Certificate[],
  nowMs: number,
): X509Certificate | null {
  const valid = bundle.filter(({ validTo }) => Date.parse(validTo) > nowMs);
  let current = chain[0];
  for (let depth = 0; current !== undefined && depth < DEPTH_MAX; depth++) {
    const at: X509Certificate = current;
    const trusted = valid.find(({ fingerprint256 }) => fingerprint256 === at.fingerprint256);
    if (isIssuedBy(at, at)) return trusted ?? null;
    const isAbove = (other: X509Certificate): boolean => isIssuedBy(at, other);
    current = valid.find(isAbove) ?? chain.find(isAbove);
  }
  return null;
}
