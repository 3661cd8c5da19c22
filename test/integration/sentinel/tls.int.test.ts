import { openNodeTls, type NodeTls } from '@tidemark/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SentinelSet, type SetNode } from '../../support/sentinel-set/sentinel-set.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { writeCertificates, type CertificateFiles } from '../../support/tls/certificate-files.ts';
import { TestCa } from '../../support/tls/certificates.ts';
import { TlsServer } from '../../support/tls/tls-server.ts';

/** A node that is reached over TLS alone. */
async function startTlsNode(ca: TestCa): Promise<SetNode> {
  const server = await TlsServer.start({
    certificate: await ca.issueKind('good'),
    trusted: [ca.cert],
  });
  return {
    get pid() {
      return server.pid;
    },
    port: server.tlsPort,
    connect: () => server.connect(),
    kill: () => server.kill(),
    restart: () => server.restart(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe('a Sentinel set that speaks TLS only', () => {
  let temp: TempDir;
  let tls: NodeTls;
  let set: SentinelSet;
  const open = ({ caFile, certFile, keyFile }: CertificateFiles): Promise<NodeTls> =>
    openNodeTls({ caFiles: [caFile], certFile, keyFile });
  let stranger: NodeTls;
  beforeAll(async () => {
    temp = await TempDir.create();
    const ca = await TestCa.create('set');
    const server = await writeCertificates(temp.path, 's', [ca.cert], await ca.issueKind('good'));
    const client = await writeCertificates(temp.path, 'c', [ca.cert], await ca.issueKind('client'));
    tls = await open(client);
    const other = await TestCa.create('other');
    const wrong = await writeCertificates(
      temp.path,
      'w',
      [other.cert],
      await ca.issueKind('client'),
    );
    stranger = await open(wrong);
    set = await SentinelSet.start({
      nodes: 2,
      sentinels: 1,
      tls: true,
      login: { secure: true, tls },
      nodeLogin: { secure: true, tls },
      sentinelLines: [
        `tls-ca-cert-file ${server.caFile}`,
        `tls-cert-file ${server.certFile}`,
        `tls-key-file ${server.keyFile}`,
        'tls-replication yes',
      ],
      startNode: () => startTlsNode(ca),
    });
  });
  afterAll(async () => {
    await set[Symbol.asyncDispose]();
    tls[Symbol.dispose]();
    stranger[Symbol.dispose]();
    await temp[Symbol.asyncDispose]();
  });

  it('is followed over TLS, to the Sentinels, their messages and the nodes', async () => {
    await using locator = set.locator({ pollMs: 600_000 });
    expect(await locator.locate()).toMatchObject({ port: set.node(0).port, secure: true });
    const moves: number[] = [];
    locator.onMoved(({ port }) => moves.push(port));
    await using admin = await set.sentinel(0).connect();
    await expect
      .poll(async () => String(await admin.call('CLIENT', 'LIST')), { timeout: 30_000 })
      .toMatch(/name=tidemark-watch.* sub=1 /);
    await set.failover();
    const after = await set.newPrimary(set.node(0));
    await expect.poll(() => moves, { timeout: 60_000 }).toEqual([after.port]);
    expect(locator.name).toContain('rediss://');
  });

  it('is refused where the certificate of a Sentinel or of a node is not trusted', async () => {
    const [{ address }] = set.sentinels as [(typeof set.sentinels)[number]];
    await using locator = set.locator({ sentinels: [{ ...address, tls: stranger }] });
    await expect(locator.locate()).rejects.toMatchObject({
      code: 'TM_TLS_VERIFY',
      context: { reason: 'unknown-ca' },
    });
    await using second = set.locator({ node: { secure: true, tls: stranger } });
    await expect(second.locate()).rejects.toMatchObject({ code: 'TM_TLS_VERIFY' });
  });

  it('is not asked in the clear', async () => {
    const [{ address }] = set.sentinels as [(typeof set.sentinels)[number]];
    const { host, port } = address;
    await using plain = set.locator({ sentinels: [{ host, port }] });
    await expect(plain.locate()).rejects.toMatchObject({ code: 'TM_TLS_PROTOCOL' });
    await using missing = set.locator({ sentinels: [{ host, port, secure: true }] });
    await expect(missing.locate()).rejects.toMatchObject({ code: 'TM_TLS_SETTINGS' });
  });
});
