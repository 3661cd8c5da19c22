import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { connectNode, dialNode, openNodeTls, readPemSet, type TlsSettings } from '@tidemark/client';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { TempDir } from '../../../support/temp-dir.ts';
import { swapFile, writeCertificates } from '../../../support/tls/certificate-files.ts';
import { TestCa } from '../../../support/tls/certificates.ts';

describe('openNodeTls()', () => {
  let temp: TempDir;
  let ca: TestCa;
  let good: Required<Pick<TlsSettings, 'caFiles' | 'certFile' | 'keyFile'>>;
  beforeAll(async () => {
    temp = await TempDir.create();
    ca = await TestCa.create('CA');
    const { caFile, ...own } = await writeCertificates(
      ...([temp.path, 'good', [ca.cert], await ca.issueKind('client')] as const),
    );
    good = { caFiles: [caFile], ...own };
  });
  afterAll(() => temp[Symbol.asyncDispose]());
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  const refusal = (settings: TlsSettings): Promise<unknown> =>
    openNodeTls(settings).then(
      (tls) => {
        tls[Symbol.dispose]();
        return null;
      },
      (error: unknown) => error,
    );
  const file = async (name: string, text: string, mode?: number): Promise<string> => {
    const path = join(temp.path, name);
    await swapFile(path, text, mode);
    return path;
  };

  it('takes a whole set, and none at all', async () => {
    expect(await refusal(good)).toBeNull();
    expect(await refusal({})).toBeNull();
    using tls = await openNodeTls(good);
    expect(tls.ownCertificate).toMatchObject({ subject: 'client', issuer: 'CA' });
    expect(tls.authorities).toMatchObject([{ subject: 'CA' }]);
  });

  it('refuses what cannot be used, before anything is connected to, and names the file', async () => {
    const expired = await ca.issue({ fromDays: -3, toDays: -1 });
    const late = await ca.issue({ fromDays: 1, toDays: 2 });
    const other = await ca.issueKind('client');
    const old = await TestCa.create('old', -1);
    const shown = await ca.issueKind('client');
    const locked = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'p' },
    }).privateKey;
    const begin = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    const cases: readonly (readonly [TlsSettings, RegExp])[] = [
      [{ caFiles: [join(temp.path, 'none.pem')] }, /cannot read .*none\.pem: ENOENT/],
      [{ caFiles: [temp.path] }, /cannot read .*: no file/],
      [{ caFiles: [await file('empty.pem', '')] }, /empty\.pem holds no certificate/],
      [{ caFiles: [await file('bad.pem', ca.cert + begin)] }, /certificate 2 of .*bad\.pem/],
      [{ caFiles: [await file('leaf.pem', other.cert)] }, /neither an authority nor self-signed/],
      [{ caFiles: [await file('k.pem', ca.cert + other.key)] }, /k\.pem holds a private key/],
      [{ caFiles: [await file('old.pem', old.cert)] }, /every authority in .*old\.pem has expired/],
      [{ caFiles: [await file('big.pem', ca.cert + ' '.repeat(2 ** 20))] }, /too large/],
      [{ caFiles: good.caFiles, certFile: good.certFile }, /certificate without its key/],
      [{ caFiles: good.caFiles, keyFile: good.keyFile }, /key without its certificate/],
      [{ ...good, keyFile: await file('other.key', other.key) }, /does not belong to/],
      [{ ...good, keyFile: await file('locked.key', locked) }, /locked by a passphrase/],
      [{ ...good, keyFile: await file('no.key', 'x') }, /no\.key holds no private key/],
      [
        {
          ...good,
          certFile: await file('e.pem', expired.cert),
          keyFile: await file('e.key', expired.key),
        },
        /expired on/,
      ],
      [
        {
          ...good,
          certFile: await file('l.pem', late.cert),
          keyFile: await file('l.key', late.key),
        },
        /valid only from/,
      ],
      [
        {
          ...good,
          certFile: await file('c.pem', other.cert + other.cert),
          keyFile: await file('c.key', other.key),
        },
        /certificate 2 of .*did not sign/,
      ],
      [
        {
          ...good,
          certFile: await file('half.pem', shown.cert + ca.cert.slice(0, -30)),
          keyFile: await file('half.key', shown.key),
        },
        /half\.pem holds a PEM block that is not whole/,
      ],
      [{ minVersion: '1.1' as '1.2' }, /oldest TLS version/],
    ];
    for (const [settings, message] of cases) {
      expect(await refusal(settings)).toMatchObject({
        ...{ code: 'TM_TLS_SETTINGS', exitCode: 2 },
        message: expect.stringMatching(message) as string,
        hint: expect.any(String) as string,
      });
    }
    // An authority that has ended does no harm beside one that has not.
    expect(await refusal({ caFiles: [await file('both.pem', old.cert + ca.cert)] })).toBeNull();
  });

  it('never takes the beginning of a bundle for a shorter bundle', async () => {
    const second = await TestCa.create('second');
    const whole = `${ca.cert}# the next one\n${second.cert}`;
    const caFile = join(temp.path, 'growing.pem');
    const first = whole.indexOf('-----BEGIN', 1);
    for (let end = first + 1; end < whole.trimEnd().length; end += end < first + 30 ? 1 : 41) {
      await swapFile(caFile, whole.slice(0, end));
      expect(await refusal({ caFiles: [caFile] }), `${end} bytes`).toMatchObject({
        code: 'TM_TLS_SETTINGS',
        message: expect.stringContaining('not whole') as string,
      });
    }
    // A whole block after half a one does not make up for it.
    await swapFile(caFile, ca.cert.slice(0, -40) + second.cert);
    expect(await refusal({ caFiles: [caFile] })).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    await swapFile(caFile, whole);
    expect(await refusal({ caFiles: [caFile] })).toBeNull();
  });

  it('refuses blocks that OpenSSL would trust beside certificates, and hands on none', async () => {
    const hidden = await TestCa.create('hidden');
    const own = await ca.issueKind('client');
    for (const kind of ['X509 CERTIFICATE', 'TRUSTED CERTIFICATE', 'X509 CRL', 'PKCS7']) {
      const other = hidden.cert.replaceAll(/(BEGIN|END) CERTIFICATE/g, `$1 ${kind}`);
      const refused = {
        ...{ code: 'TM_TLS_SETTINGS', exitCode: 2 },
        message: expect.stringContaining(`of another kind: ${kind}`) as string,
      };
      const caFile = await file('kinds.pem', ca.cert + other);
      expect(await refusal({ caFiles: [caFile] }), kind).toMatchObject(refused);
      const certFile = await file('kinds-own.pem', own.cert + other);
      const keyFile = await file('kinds-own.key', own.key);
      expect(await refusal({ ...good, certFile, keyFile }), kind).toMatchObject(refused);
    }
    // Certificate and key in one file, as some tools write them; text between blocks means nothing.
    const both = await file('both.pem', `our own\n${own.cert}and its key\n${own.key}`);
    const settings = { caFiles: good.caFiles, certFile: both, keyFile: both };
    expect(await refusal(settings)).toBeNull();
    const set = await readPemSet(settings, Date.now());
    expect(set?.cert).toBe(new X509Certificate(own.cert).toString());
    expect(set?.ca).toEqual([new X509Certificate(ca.cert).toString()]);
  });

  it('refuses a key that others can read, and takes one of a group', async () => {
    const keyFile = await file('open.key', (await ca.issue()).key);
    for (const mode of [0o604, 0o620, 0o644, 0o601]) {
      await chmod(keyFile, mode);
      expect(await refusal({ ...good, keyFile })).toMatchObject({
        message: expect.stringContaining('is open to others') as string,
      });
    }
    await chmod(good.keyFile, 0o640);
    expect(await refusal(good)).toBeNull();
  });

  it('takes ciphers that are known, and CBC or RSA key exchange by their full names only', async () => {
    const taken = [
      'ECDHE+AESGCM:ECDHE+CHACHA20',
      'ECDHE-RSA-AES128-SHA',
      'AES256-SHA',
      'HIGH:!aNULL',
      'TLS_AES_256_GCM_SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384, TLS_AES_128_GCM_SHA256',
    ];
    for (const ciphers of taken) expect(await refusal({ ciphers }), ciphers).toBeNull();
    const refused = ['', 'NONSENSE', 'HIGH:NONSENSE', 'eNULL', 'NULL-SHA256', 'HIGH:@SECLEVEL=0'];
    for (const ciphers of [...refused, 'TLS_NONSENSE', 'TLS_AES_256_GCM_SHA384:x y']) {
      expect(await refusal({ ciphers }), ciphers).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    }
    // Groups bring neither: nothing is left of these.
    for (const ciphers of ['kRSA', 'SHA1', 'ECDHE+SHA384']) {
      expect(await refusal({ ciphers }), ciphers).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    }
  });

  it('refuses a process in which Node.js was told to verify nothing', async () => {
    using tls = await openNodeTls(good);
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const refused = {
      code: 'TM_TLS_SETTINGS',
      message: expect.stringContaining('NODE_TLS_REJECT_UNAUTHORIZED') as string,
    };
    expect(await refusal(good)).toMatchObject(refused);
    const address = { host: '127.0.0.1', port: 1, secure: true as const, tls };
    await expect(connectNode(address)).rejects.toMatchObject(refused);
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '1');
    expect(await refusal(good)).toBeNull();
  });

  it('never dials plain where TLS was asked for', async () => {
    const address = { host: '127.0.0.1', port: 1, secure: true as const };
    await expect(dialNode(address, { timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'TM_TLS_SETTINGS',
    });
    await expect(connectNode(address)).rejects.toMatchObject({ code: 'TM_TLS_SETTINGS' });
  });
});
