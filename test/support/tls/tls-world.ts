import { join } from 'node:path';
import { openNodeTls, type NodeAddress, type NodeTls, type TlsSettings } from '@tidemark/client';
import { TempDir } from '../temp-dir.ts';
import { swapFile, writeCertificates } from './certificate-files.ts';
import { TestCa, type TestCertificate } from './certificates.ts';
import { TlsServer, type StartTlsOptions } from './tls-server.ts';

/** Two authorities, a client certificate of the first, and a folder for the files of our side. */
export class TlsWorld implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly caA: TestCa;
  readonly caB: TestCa;
  readonly client: TestCertificate;
  readonly caFileA: string;
  readonly caFileB: string;
  readonly #opened: NodeTls[] = [];
  #sets = 0;

  private constructor(temp: TempDir, caA: TestCa, caB: TestCa, client: TestCertificate) {
    this.#temp = temp;
    this.caA = caA;
    this.caB = caB;
    this.client = client;
    this.caFileA = join(temp.path, 'a.pem');
    this.caFileB = join(temp.path, 'b.pem');
  }

  static async create(): Promise<TlsWorld> {
    const temp = await TempDir.create('tidemark-tls-world-');
    const [caA, caB] = await Promise.all([TestCa.create('CA A'), TestCa.create('CA B')]);
    const world = new TlsWorld(temp, caA, caB, await caA.issueKind('client'));
    await swapFile(world.caFileA, caA.cert);
    await swapFile(world.caFileB, caB.cert);
    return world;
  }

  /** Folder for files of our side. */
  get dir(): string {
    return this.#temp.path;
  }

  /** A server with a certificate of the first authority that takes clients of it. */
  async start(options: Partial<StartTlsOptions> = {}): Promise<TlsServer> {
    const certificate = options.certificate ?? (await this.caA.issue());
    return TlsServer.start({ trusted: [this.caA.cert], ...options, certificate });
  }

  /** Settings that trust the first authority and show `shown`, or nothing. */
  async settings(
    more: TlsSettings = {},
    shown: TestCertificate | null = this.client,
  ): Promise<TlsSettings> {
    const trusted = { caFiles: [this.caFileA], ...more };
    if (shown === null) return trusted;
    this.#sets += 1;
    const name = `set-${this.#sets}`;
    const { certFile, keyFile } = await writeCertificates(this.dir, name, [], shown);
    return { ...trusted, certFile, keyFile };
  }

  /** The address of a port of the loopback, with TLS as `settings` says. */
  async address(
    port: number,
    more: TlsSettings = {},
    shown: TestCertificate | null = this.client,
  ): Promise<NodeAddress> {
    const tls = await openNodeTls(await this.settings(more, shown));
    this.#opened.push(tls);
    return { host: '127.0.0.1', port, secure: true, tls };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tls of this.#opened) tls[Symbol.dispose]();
    await this.#temp[Symbol.asyncDispose]();
  }
}
