import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type Extension,
} from '@peculiar/x509';
import type { Random } from '@tidemark/core';

/** A certificate and its key, PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** The certificates of one feed. The key of their authority is gone when they are made. */
export interface MintedSet {
  /** PEM of the authority. */
  readonly ca: string;
  /** What the feed shows. */
  readonly feed: Certificate;
  /** What the target shows. */
  readonly target: Certificate;
}

/** What a feed's certificates are made for. */
export interface MintOptions {
  /** Name of the restore. */
  readonly id: string;
  /** Names and IP addresses under which the target reaches the feed. */
  readonly addresses: readonly string[];
  readonly nowMs: number;
  readonly random: Random;
}

const CURVE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const KEY_USES: webcrypto.KeyUsage[] = ['sign', 'verify'];
/** The clock of the target may be behind. */
const BEFORE_MS = 10 * 60_000;
/** A link that breaks later finds it expired; `--resume` makes new ones. */
const AFTER_MS = 12 * 3_600_000;

/**
 * Makes an authority that nobody else knows and has it sign one certificate for the feed and one for
 * the target. X.509 v3 as in RFC 5280, keys on P-256.
 */
export async function mintCertificates(options: MintOptions): Promise<MintedSet> {
  const name = `CN=Tidemark restore ${options.id}`;
  // Nothing can read that key out, not even this process.
  const authority = await makeKeys(false);
  const sign = (contents: Contents): Promise<string> =>
    generate({ ...contents, issuer: name, signingKey: authority.privateKey }, options);
  const ca = await sign({
    ...{ subject: name, publicKey: authority.publicKey },
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
  const leaf = async (
    subject: string,
    use: ExtendedKeyUsage,
    names: readonly string[],
  ): Promise<Certificate> => {
    const { publicKey, privateKey } = await makeKeys(true);
    const cert = await sign({
      ...{ subject: `CN=${subject}`, publicKey },
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([use]),
        ...(names.length === 0 ? [] : [alternativeNames(names)]),
      ],
    });
    const key = KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
    return { cert, key };
  };
  return {
    ca,
    feed: await leaf('Tidemark feed', ExtendedKeyUsage.serverAuth, options.addresses),
    target: await leaf('Tidemark target', ExtendedKeyUsage.clientAuth, []),
  };
}

interface Contents {
  readonly subject: string;
  readonly publicKey: webcrypto.CryptoKey;
  readonly extensions: Extension[];
}

async function generate(
  contents: Contents & { readonly issuer: string; readonly signingKey: webcrypto.CryptoKey },
  { nowMs, random }: MintOptions,
): Promise<string> {
  const serial = Buffer.from(random.bytes(16));
  // Positive and not zero (RFC 5280, section 4.1.2.2).
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const certificate = await X509CertificateGenerator.create({
    ...contents,
    serialNumber: serial.toString('hex'),
    notBefore: new Date(nowMs - BEFORE_MS),
    notAfter: new Date(nowMs + AFTER_MS),
    signingAlgorithm: CURVE,
  });
  return `${certificate.toString('pem')}\n`;
}

function alternativeNames(names: readonly string[]): Extension {
  return new SubjectAlternativeNameExtension(
    [...new Set(names)].map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
  );
}

function makeKeys(extractable: boolean): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(CURVE, extractable, KEY_USES);
}
