import { X509Certificate, createPrivateKey, webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  mintCertificates,
  type MintedSet,
} from '../../../../services/restorer/src/feed-tls/mint-certificates.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

describe('mintCertificates()', () => {
  let minted: MintedSet;
  beforeAll(async () => {
    minted = await mintCertificates({
      ...{ id: 'rs-1', nowMs: NOW, random: seededRandom('mint') },
      addresses: ['10.0.0.5', 'feed.example', '::1', '10.0.0.5'],
    });
  });

  it('signs both certificates by an authority that can sign no other one', () => {
    const ca = new X509Certificate(minted.ca);
    expect(ca.ca).toBe(true);
    expect(ca.subject).toBe('CN=Tidemark restore rs-1');
    for (const { cert, key } of [minted.feed, minted.target]) {
      const leaf = new X509Certificate(cert);
      expect(leaf.ca).toBe(false);
      expect(leaf.checkIssued(ca) && leaf.verify(ca.publicKey)).toBe(true);
      expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
      expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    }
  });

  it('makes the key of the authority one that nothing can read out', async () => {
    const generate = vi.spyOn(webcrypto.subtle, 'generateKey');
    try {
      await mintCertificates({
        ...{ id: 'rs-2', nowMs: NOW, random: seededRandom('once'), addresses: [] },
      });
      const pairs = await Promise.all(
        generate.mock.results.map(({ value }) => value as Promise<webcrypto.CryptoKeyPair>),
      );
      const readable = pairs.map(({ privateKey }) => privateKey.extractable);
      expect(readable).toEqual([false, true, true]);
    } finally {
      generate.mockRestore();
    }
  });

  it('says of each what it is for, and where the feed is', () => {
    const [feed, target] = [minted.feed, minted.target].map(
      ({ cert }) => new X509Certificate(cert),
    );
    expect(feed?.keyUsage).toEqual([SERVER_AUTH]);
    expect(target?.keyUsage).toEqual([CLIENT_AUTH]);
    expect(feed?.checkIP('10.0.0.5')).toBe('10.0.0.5');
    expect(feed?.checkIP('::1')).toBe('::1');
    expect(feed?.checkHost('feed.example')).toBe('feed.example');
    expect(feed?.checkHost('elsewhere.example')).toBeUndefined();
    expect(target?.subjectAltName).toBeUndefined();
  });

  it('lets them live from a little before now for half a day', () => {
    for (const pem of [minted.ca, minted.feed.cert, minted.target.cert]) {
      const { validFrom, validTo } = new X509Certificate(pem);
      expect(NOW - Date.parse(validFrom)).toBe(600_000);
      expect(Date.parse(validTo) - NOW).toBe(12 * 3_600_000);
    }
  });

  it('gives every certificate a number and a key of its own', async () => {
    const again = await mintCertificates({
      ...{ id: 'rs-1', nowMs: NOW, random: seededRandom('other') },
      addresses: ['10.0.0.5'],
    });
    const all = [minted.ca, minted.feed.cert, minted.target.cert, again.ca, again.feed.cert];
    const facts = all.map((pem) => new X509Certificate(pem));
    expect(new Set(facts.map(({ serialNumber }) => serialNumber)).size).toBe(all.length);
    expect(
      new Set(facts.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' }))).size,
    ).toBe(all.length);
  });
});
