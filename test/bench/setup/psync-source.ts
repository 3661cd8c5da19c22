import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startServer, type ServerProcess } from '@tidemark/client';
import { Redis } from 'ioredis';
import { writeCertificates, type CertificateFiles } from '../../support/tls/certificate-files.ts';
import { TestCa, type TestCertificate } from '../../support/tls/certificates.ts';
import { TlsServer } from '../../support/tls/tls-server.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { CommandMaker } from './commands.ts';
import { runLoad, type LoadResult } from './load.ts';
import { sendAll } from './raw-link.ts';
import { Tidemark } from './tidemark.ts';

/** Keys of the source: an RDB of about 140 MB. */
export const PSYNC_KEYS = 2_000_000;
/** The generator goes first: batches that wait for a core are sent together, and cost the server less. */
const SHAPE = { connections: 16, batch: 16, precedence: true };
const MAXIMUM_SECONDS = 3;
const POLL_MS = 50;
const SYNC_MS = 120_000;
/** Backlog and limit of the output buffer are no part of what is measured. */
const ROOMY = {
  'repl-backlog-size': '256mb',
  'client-output-buffer-limit': 'normal 0 0 0 replica 0 0 0 pubsub 0 0 0',
};

/** How the replication link goes. Clients that load the source are always plain. */
export type LinkKind = 'plain' | 'tls';

/** A source without AOF that replicates over a plain port and over one with TLS. */
export class PsyncBench implements AsyncDisposable {
  readonly server: TlsServer;
  /** Half of the commands a second that the server reaches without a replica. */
  readonly rate: number;
  readonly ours: Readonly<Record<LinkKind, Tidemark>>;
  readonly #dir: TempDir;
  readonly #files: CertificateFiles;
  readonly #look: Redis;

  private constructor(parts: {
    readonly server: TlsServer;
    readonly rate: number;
    readonly ours: Readonly<Record<LinkKind, Tidemark>>;
    readonly dir: TempDir;
    readonly files: CertificateFiles;
    readonly look: Redis;
  }) {
    this.server = parts.server;
    this.rate = parts.rate;
    this.ours = parts.ours;
    this.#dir = parts.dir;
    this.#files = parts.files;
    this.#look = parts.look;
  }

  static async open(): Promise<PsyncBench> {
    const dir = await TempDir.create('tidemark-bench-');
    const ca = await TestCa.create('bench');
    const certificate: TestCertificate = await ca.issue();
    const trusted = [ca.cert];
    const options = { certificate, trusted, plain: true, config: ROOMY };
    const server = await TlsServer.start(options);
    const client = await ca.issueKind('client');
    const files = await writeCertificates(dir.path, 'client', trusted, client);
    await sendAll(server.socketPath, new CommandMaker(Date.now()).base(PSYNC_KEYS));
    const { caFile, certFile, keyFile } = files;
    const flags = ['--tls-ca', caFile, '--tls-cert', certFile, '--tls-key', keyFile];
    const url = (scheme: string, port: number): string => `${scheme}://127.0.0.1:${port}`;
    const ours = {
      plain: await Tidemark.initPsync(join(dir.path, 'plain'), 'bench', url('redis', server.port)),
      tls: await Tidemark.initPsync(
        ...([join(dir.path, 'tls'), 'bench', url('rediss', server.tlsPort), flags] as const),
      ),
    };
    const maximum = await load(server, 0, MAXIMUM_SECONDS, 1);
    const rate = maximum.commands / maximum.seconds / 2;
    return new PsyncBench({ server, rate, ours, dir, files, look: await server.connect() });
  }

  /** Loads the source at half of its maximum. */
  load(seconds: number, seed: number): Promise<LoadResult> {
    return load(this.server, this.rate, seconds, seed);
  }

  /** Bytes that the source has replicated so far. */
  async offset(): Promise<number> {
    const text = await this.#look.info('replication');
    return Number(/^master_repl_offset:(\d+)/m.exec(text)?.[1]);
  }

  /** Waits until so many replicas are online, and whether the snapshot of none is under way. */
  async untilReplicas(count: number): Promise<void> {
    const endMs = performance.now() + SYNC_MS;
    for (;;) {
      const text = await this.#look.info('replication');
      const online = text.match(/^slave\d+:.*state=online/gm)?.length ?? 0;
      const known = Number(/^connected_slaves:(\d+)/m.exec(text)?.[1]);
      if (known === count && online === count) return;
      if (performance.now() > endMs) throw new Error(`not ${count} replicas online: ${text}`);
      await delay(POLL_MS);
    }
  }

  /** An ordinary replica of the same server program, in step when this resolves. */
  async replica(kind: LinkKind, name: string): Promise<ServerProcess> {
    const { port, tlsPort } = this.server;
    const { caFile, certFile, keyFile } = this.#files;
    const secure = {
      'tls-replication': 'yes',
      'tls-ca-cert-file': caFile,
      'tls-cert-file': certFile,
      'tls-key-file': keyFile,
    };
    const replica = await startServer({
      dir: join(this.#dir.path, name),
      readyTimeoutMs: SYNC_MS,
      config: {
        replicaof: `127.0.0.1 ${kind === 'tls' ? tlsPort : port}`,
        'repl-diskless-load': 'on-empty-db',
        ...(kind === 'tls' ? secure : {}),
      },
    });
    await this.untilReplicas(1);
    return replica;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

function load(
  { port, pid }: TlsServer,
  rate: number,
  seconds: number,
  seed: number,
): Promise<LoadResult> {
  return runLoad({ port, serverPid: pid, keys: PSYNC_KEYS, ...SHAPE, rate, seconds, seed });
}
