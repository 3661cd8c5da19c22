import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Tidemark } from '../../support/tidemark-cli.ts';
import { swapFile, writeCertificates } from '../../support/tls/certificate-files.ts';
import type { TlsServer } from '../../support/tls/tls-server.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

/** The document of `tls check`. */
interface TlsDocument {
  readonly healthy: boolean;
  readonly nodes: readonly Readonly<Record<string, unknown>>[];
}

/** The command line against a server that has no plain port at all and wants a certificate. */
describe('commands over TLS', () => {
  let world: TlsWorld;
  let server: TlsServer;
  let tidemark: Tidemark;
  let url: string;
  let flags: readonly string[];
  beforeAll(async () => {
    world = await TlsWorld.create();
    server = await world.start();
    tidemark = await Tidemark.init();
    url = `rediss://127.0.0.1:${server.tlsPort}`;
    const { certFile = '', keyFile = '' } = await world.settings();
    flags = ['--tls-ca', world.caFileA, '--tls-cert', certFile, '--tls-key', keyFile];
  });
  afterAll(async () => {
    await tidemark[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('refuse what does not fit, and take nothing into the configuration then', async () => {
    const add = ['instance', 'add', 'orders', '--source', 'psync', '-u'] as const;
    const before = await readFile(tidemark.config, 'utf8');
    const plain = await tidemark.refused(2, ...add, url.replace('rediss', 'redis'), ...flags);
    expect(plain).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    const unread = await tidemark.refused(2, ...add, url, '--tls-ca', '/nonexistent/ca.pem');
    expect(unread).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    const other = await tidemark.refused(1, ...add, url, '--tls-ca', world.caFileB);
    expect(other).toMatchObject({ code: 'TM_TLS_VERIFY', context: { reason: 'unknown-ca' } });
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const unverified = await tidemark.refused(2, ...add, url, ...flags);
    expect(unverified).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    expect(await readFile(tidemark.config, 'utf8')).toBe(before);
  });

  it('keep the settings of an instance, and show what its node shows', async () => {
    const twice = ['--tls-ca', world.caFileB, '--tls-min-version', '1.3'];
    await tidemark.json(
      'instance',
      'add',
      'orders',
      '--source',
      'psync',
      '-u',
      url,
      ...flags,
      ...twice,
    );
    const config = await readFile(tidemark.config, 'utf8');
    expect(config).toContain(`tls_ca_file = ${JSON.stringify([world.caFileA, world.caFileB])}`);
    expect(config).toContain('tls_min_version = "1.3"');
    const checked = await tidemark.json<TlsDocument>('tls', 'check');
    expect(checked).toMatchObject({
      healthy: true,
      nodes: [
        {
          ...{ instance: 'orders', node: url, ok: true, name: '127.0.0.1' },
          ...{ protocol: 'TLSv1.3', cipher: expect.stringMatching(/^TLS_/) as string },
          certificate: { subject: 'node', issuer: 'CA A', daysLeft: 364 },
          verifiedBy: { subject: 'CA A' },
          own: { subject: 'client' },
          authorities: [{ subject: 'CA A' }, { subject: 'CA B' }],
        },
      ],
    });
    const { out } = await tidemark.run('doctor', '-o', 'json');
    const { findings } = JSON.parse(out) as { findings: { check: string; ok: boolean }[] };
    expect(findings.find(({ check }) => check === 'node orders')).toMatchObject({ ok: true });
  });

  it('capture the others where the certificate for one has expired, until it is renewed', async () => {
    const own = await world.caA.issue({ uses: ['client'], fromDays: -3, toDays: 1 });
    const files = await writeCertificates(world.dir, 'second', [world.caA.cert], own);
    await using other = await world.start();
    const second = `rediss://127.0.0.1:${other.tlsPort}`;
    const place = ['--tls-ca', files.caFile, '--tls-cert', files.certFile];
    await tidemark.json(
      ...['instance', 'add', 'second', '--source', 'psync', '-u', second],
      ...[...place, '--tls-key', files.keyFile],
    );
    const late = await world.caA.issue({ uses: ['client'], fromDays: -3, toDays: -1 });
    await swapFile(files.keyFile, late.key);
    await swapFile(files.certFile, late.cert);
    const archiver = await tidemark.serve(); // that is the other one
    await archiver.until('capture-failed');
    const fault = archiver.log.split('\n').find((line) => line.includes('"capture-failed"'));
    expect(JSON.parse(fault ?? '')).toMatchObject({
      ...{ instance: 'second', code: 'TM_TLS_SETTINGS', hint: 'have it renewed' },
      error: expect.stringContaining('expired on') as string,
    });
    await swapFile(files.keyFile, own.key);
    await swapFile(files.certFile, own.cert);
    const isSecond = (line: string): boolean =>
      line.includes('"caught-up"') && line.includes('"second"');
    await vi.waitFor(() => expect(archiver.log.split('\n').some(isSecond)).toBe(true), {
      ...{ timeout: 70_000, interval: 100 },
    });
    expect(await archiver.stop()).toBe(0);
  });

  it('check a node that is not configured, and end with 1 when it does not hold', async () => {
    const { code, out } = await tidemark.run('tls', 'check', '-u', url, '--tls-ca', world.caFileA);
    expect([code, out]).toEqual([1, expect.stringContaining('wants a certificate of ours')]);
    const near = await world.caA.issue({ fromDays: -90, toDays: 6 });
    await using ending = await world.start({ certificate: near });
    const late = `rediss://127.0.0.1:${ending.tlsPort}`;
    const run = await tidemark.run('tls', 'check', '-u', late, ...flags, '-o', 'json');
    expect(run.code).toBe(1);
    expect(JSON.parse(run.out)).toMatchObject({
      healthy: false,
      nodes: [{ ok: true, certificate: { daysLeft: 5 } }],
    });
  });
});
