import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type Extension,
  type JsonGeneralName,
} from '@peculiar/x509';

const CURVE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 3_600_000;
const KEY_USES: webcrypto.KeyUsage[] = ['sign', 'verify'];

/** A certificate with its key, as PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate says. */
export interface LeafOptions {
  /** Default `node`. */
  readonly commonName?: string;
  /** Default `localhost`. */
  readonly dns?: readonly string[];
  /** Default 127.0.0.1. */
  readonly ips?: readonly string[];
  /** Days from now; default yesterday. */
  readonly fromDays?: number;
  /** Days from now; default in a year. */
  readonly toDays?: number;
  /** Default both: a server shows its own certificate also where it is a client (replication). */
  readonly uses?: readonly ('server' | 'client')[];
}

/** Certificates of servers that a careful client refuses, and those it takes. */
export const CERTIFICATE_KINDS = {
  good: {},
  expired: { fromDays: -30, toDays: -1 },
  'not-yet-valid': { fromDays: 1, toDays: 30 },
  'wrong-name': { dns: ['elsewhere.example'], ips: ['192.0.2.1'] },
  'wrong-use': { uses: ['client'] },
  client: { commonName: 'client', dns: [], ips: [], uses: ['client'] },
} as const satisfies Record<string, LeafOptions>;

/** A certificate authority of one test. */
export class TestCa {
  readonly name: string;
  /** PEM. */
  readonly cert: string;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(name: string, cert: string, keys: webcrypto.CryptoKeyPair) {
    this.name = name;
    this.cert = cert;
    this.#keys = keys;
  }

  /** @param toDays - When it ends, in days from now; default ten years. */
  static async create(name: string, toDays = 3650): Promise<TestCa> {
    const keys = await makeKeys();
    const subject = `CN=${name}`;
    const cert = await generate({
      ...{ subject, issuer: subject, publicKey: keys.publicKey, signingKey: keys.privateKey },
      ...{ fromDays: -2, toDays },
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    });
    return new TestCa(name, cert, keys);
  }

  /** A certificate of this authority, with a key of its own. */
  async issue(options: LeafOptions = {}): Promise<TestCertificate> {
    const { dns = ['localhost'], ips = ['127.0.0.1'], uses = ['server', 'client'] } = options;
    const keys = await makeKeys();
    const names: JsonGeneralName[] = [
      ...dns.map((value) => ({ type: 'dns' as const, value })),
      ...ips.map((value) => ({ type: 'ip' as const, value })),
    ];
    const cert = await generate({
      subject: `CN=${options.commonName ?? 'node'}`,
      issuer: `CN=${this.name}`,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      fromDays: options.fromDays ?? -1,
      toDays: options.toDays ?? 365,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(
          uses.map((use) =>
            use === 'server' ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth,
          ),
        ),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
      ],
    });
    return { cert, key: pemOf(keys.privateKey) };
  }

  /** One of {@link CERTIFICATE_KINDS}. */
  issueKind(kind: keyof typeof CERTIFICATE_KINDS): Promise<TestCertificate> {
    return this.issue(CERTIFICATE_KINDS[kind]);
  }
}

interface Contents {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: webcrypto.CryptoKey;
  readonly signingKey: webcrypto.CryptoKey;
  readonly fromDays: number;
  readonly toDays: number;
  readonly extensions: Extension[];
}

async function generate({ fromDays, toDays, ...contents }: Contents): Promise<string> {
  const certificate = await X509CertificateGenerator.create({
    ...contents,
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex'),
    notBefore: new Date(Date.now() + fromDays * DAY_MS),
    notAfter: new Date(Date.now() + toDays * DAY_MS),
    signingAlgorithm: CURVE,
  });
  return `${certificate.toString('pem')}\n`;
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(CURVE, true, KEY_USES);
}

function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}
