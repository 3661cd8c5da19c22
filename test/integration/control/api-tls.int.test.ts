import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { admitCertificate } from '@tidemark/control';
import { ApiRun } from '../../support/api-run.ts';
import { Trial } from '../../support/api-trial-routes.ts';
import { TestCa, type TestCertificate } from '../../support/tls/certificates.ts';
import { Tidemark } from '../../support/tidemark-cli.ts';

const SETTINGS = `
[server]
tls_cert_file = "server.pem"
tls_key_file = "server.key"
tls_client_ca_file = "clients.pem"
[auth]
mode = "mtls"
`;

interface Told {
  readonly status: number;
  readonly text: string;
}

let [ca, clients]: [TestCa, TestCa] = [null!, null!];
let tidemark: Tidemark;
let run: ApiRun;
const trial = new Trial();

beforeAll(async () => {
  [ca, clients] = await Promise.all([TestCa.create('servers'), TestCa.create('clients')]);
  tidemark = await Tidemark.init([], SETTINGS, 'ring');
  await writeServer(await ca.issue());
  await writeFile(join(tidemark.dir, 'clients.pem'), clients.cert);
  const { routes } = trial;
  run = await ApiRun.start({ routes, tidemark, tlsLookMs: 50, limits: { eventLoopMs: 60_000 } });
});
afterAll(async () => {
  await run[Symbol.asyncDispose]();
  await tidemark[Symbol.asyncDispose]();
});

async function writeServer({ cert, key }: TestCertificate): Promise<void> {
  await writeFile(join(tidemark.dir, 'server.key'), key);
  await writeFile(join(tidemark.dir, 'server.pem'), cert);
}

async function admit(
  client: TestCertificate,
  scope: string,
  expiresMs: number | null,
): Promise<void> {
  const file = join(tidemark.dir, 'client.pem');
  await writeFile(file, client.cert);
  await admitCertificate(join(tidemark.dir, 'tokens'), file, { scope, expiresMs });
}

async function ask(path: string, client: TestCertificate, method = 'GET'): Promise<Told> {
  const { hostname, port } = new URL(run.url);
  const asked = request({
    ...{ hostname, port, path, method, agent: false },
    ca: ca.cert,
    ...client,
  });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk);
  return { status: answer.statusCode ?? 0, text };
}

it('a client certificate lets in whom the tokens file names, under its own name', async () => {
  const known = await clients.issue({ commonName: 'ci-runner', uses: ['client'] });
  const strange = await clients.issue({ commonName: 'other', uses: ['client'] });
  await admit(known, 'read', null);
  expect((await ask('/t/list', known)).status).toBe(200);
  expect(run.log.findLast(({ msg }) => msg === 'request')).toMatchObject({
    actor: 'ci-runner',
    via: 'mtls',
  });
  expect((await ask('/t/things', known, 'POST')).status).toBe(403);
  expect((await ask('/t/list', strange)).status).toBe(401);
  const over = await clients.issue({ commonName: 'over', uses: ['client'] });
  await admit(over, 'read', Date.now() - 1000);
  expect((await ask('/t/list', over)).status).toBe(401);
});

it('a name that could not stand in a log as it is becomes that of the fingerprint', async () => {
  const odd = await clients.issue({ commonName: 'a b (c)', uses: ['client'] });
  await admit(odd, 'read', null);
  expect((await ask('/t/list', odd)).status).toBe(200);
  const line = run.log.findLast(({ msg }) => msg === 'request');
  expect(line?.['actor']).toMatch(/^cert-[0-9a-f]{16}$/);
});

it('who shows no certificate of the authority does not come as far as a request', async () => {
  const foreign = await ca.issue({ commonName: 'ci-runner', uses: ['client'] });
  await expect(ask('/t/list', foreign)).rejects.toThrow();
  const { hostname, port } = new URL(run.url);
  const asked = request({ ...{ hostname, port, path: '/t/list', agent: false }, ca: ca.cert });
  asked.end();
  await expect(once(asked, 'response')).rejects.toThrow();
});

it('a renewed certificate is shown to new callers, and one that does not fit its key is not used', async () => {
  const first = await shownSerial();
  const next = await ca.issue();
  await writeFile(join(tidemark.dir, 'server.pem'), next.cert); // the key is not there yet
  const refused = 'the certificate on disk is not used';
  await until(() => Promise.resolve(run.log.some(({ msg }) => msg === refused)));
  expect(await shownSerial()).toBe(first);
  await writeFile(join(tidemark.dir, 'server.key'), next.key);
  await until(async () => (await shownSerial()) !== first);
});

async function shownSerial(): Promise<string> {
  const { hostname, port } = new URL(run.url);
  const client = await clients.issue({ uses: ['client'] });
  const socket: TLSSocket = connect({ host: hostname, port: Number(port), ca: ca.cert, ...client });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
