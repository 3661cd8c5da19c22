import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { startServer, type ServerProcess } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { Redis } from 'ioredis';
import { TempDir } from '../temp-dir.ts';
import { writeCertificates, type CertificateFiles } from './certificate-files.ts';
import type { TestCertificate } from './certificates.ts';

const ATTEMPTS_MAX = 5;

/** How a test wants its server. */
export interface StartTlsOptions {
  /** Program; default `redis-server` on the PATH. */
  readonly binary?: string;
  /** The server's own certificate. */
  readonly certificate: TestCertificate;
  /** Certificates of the authorities whose clients it takes. */
  readonly trusted: readonly string[];
  /** Whether clients show a certificate; default `yes`, as the servers have it. */
  readonly clients?: 'yes' | 'optional' | 'no';
  /** `tls-protocols`; default what the server gives. */
  readonly protocols?: string;
  /** A plain port beside the one with TLS. Default false: `port 0`. */
  readonly plain?: boolean;
  /** Settings over the defaults, as `CONFIG SET` takes them. */
  readonly config?: Readonly<Record<string, string | readonly string[]>>;
}

/**
 * A real server that speaks TLS on the loopback, in its own temporary folder. Tests look into it over
 * its unix socket, which stays plain.
 */
export class TlsServer implements AsyncDisposable {
  readonly temp: TempDir;
  readonly tlsPort: number;
  readonly files: CertificateFiles;
  readonly #options: StartTlsOptions;
  #process: ServerProcess;
  #swaps = 0;
  readonly #clients = new Set<Redis>();

  private constructor(
    temp: TempDir,
    options: StartTlsOptions,
    started: {
      readonly process: ServerProcess;
      readonly tlsPort: number;
      readonly files: CertificateFiles;
    },
  ) {
    this.temp = temp;
    this.#options = options;
    this.#process = started.process;
    this.tlsPort = started.tlsPort;
    this.files = started.files;
  }

  static async start(options: StartTlsOptions): Promise<TlsServer> {
    const temp = await TempDir.create('tidemark-tls-');
    try {
      const { certificate, trusted } = options;
      const files = await writeCertificates(temp.path, 'server', trusted, certificate);
      for (let attempt = 1; ; attempt++) {
        const tlsPort = await freePort();
        try {
          const process = await launch(temp.path, options, { files, tlsPort, port: 0 });
          return new TlsServer(temp, options, { process, tlsPort, files });
        } catch (error) {
          // Somebody else was faster with the port.
          const log = error instanceof NodeError ? String(error.context.log) : '';
          if (attempt >= ATTEMPTS_MAX || !/address already in use/i.test(log)) throw error;
        }
      }
    } catch (error) {
      await temp[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The plain port; 0 without one. */
  get port(): number {
    return this.#process.port;
  }

  get socketPath(): string {
    return this.#process.socketPath ?? '';
  }

  get dir(): string {
    return this.temp.path;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Everything the server wrote to its log so far. */
  log(): Promise<string> {
    return readFile(this.#process.logPath, 'utf8');
  }

  /** A client over the unix socket; closed with the server. */
  async connect(): Promise<Redis> {
    const client = new Redis({
      path: this.socketPath,
      protocol: 2,
      lazyConnect: true,
      retryStrategy: () => null,
      disableClientInfo: true,
    });
    client.on('error', () => undefined); // commands reject by themselves
    client.once('end', () => this.#clients.delete(client));
    this.#clients.add(client);
    await client.connect();
    return client;
  }

  /**
   * Shows another certificate, and trusts other authorities, from the next connection on; connections
   * that are open stay. Servers from 7.0 on take both halves at once.
   */
  async show(
    certificate: TestCertificate,
    trusted: readonly string[] = this.#options.trusted,
  ): Promise<void> {
    // The same path once more would be no change to the server.
    this.#swaps += 1;
    const name = `server-${this.#swaps}`;
    const files = await writeCertificates(this.dir, name, trusted, certificate);
    const client = await this.connect();
    await client.call(
      ...(['CONFIG', 'SET', 'tls-cert-file', files.certFile] as const),
      ...(['tls-key-file', files.keyFile, 'tls-ca-cert-file', files.caFile] as const),
    );
    client.disconnect();
  }

  /** SIGKILL and wait. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Stops (SIGTERM) if it runs, then starts on the same folder, ports and first certificate. */
  async restart(config: StartTlsOptions['config'] = {}): Promise<void> {
    const { port, tlsPort, files } = this;
    await this.#process.stop();
    const options = { ...this.#options, config: { ...this.#options.config, ...config } };
    this.#process = await launch(this.dir, options, { files, tlsPort, port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.#process.kill();
    await this.temp[Symbol.asyncDispose]();
  }
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

function launch(
  dir: string,
  options: StartTlsOptions,
  place: { readonly files: CertificateFiles; readonly tlsPort: number; readonly port: number },
): Promise<ServerProcess> {
  const { files, tlsPort, port } = place;
  return startServer({
    ...(options.binary === undefined ? {} : { binary: options.binary }),
    ...(options.plain === true ? { port } : { tcp: false }),
    dir,
    unixSocket: true,
    readyTimeoutMs: 30_000,
    config: {
      'repl-diskless-sync-delay': '0',
      ...options.config,
      'tls-port': tlsPort.toString(),
      'tls-ca-cert-file': files.caFile,
      'tls-cert-file': files.certFile,
      'tls-key-file': files.keyFile,
      'tls-auth-clients': options.clients ?? 'yes',
      'tls-replication': 'yes',
      ...(options.protocols === undefined ? {} : { 'tls-protocols': options.protocols }),
    },
  });
}
