import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { S3StoreSettings } from '@tidemark/store';
import { describe, it } from 'vitest';
import { ChildServer, freePort } from './child-server.ts';
import { sendS3, type S3Answer, type S3Request } from './s3-request.ts';
import { serversRequired } from './servers.ts';
import { TempDir } from './temp-dir.ts';

/** The real S3 servers of the tests. */
export const S3_KINDS = ['versitygw', 'moto'] as const;
export type S3Kind = (typeof S3_KINDS)[number];

/** What scripts/install-s3.sh has put there. */
const CACHE = fileURLToPath(new URL('../../.cache/s3', import.meta.url));
const MOTO_SERVER = fileURLToPath(new URL('moto-server.py', import.meta.url));
const START_SECONDS_MAX = 60;
/** For a machine that does much else: a server in Python answers slowly then. */
const TEST_MS_MAX = 300_000;

/** The identity of all test servers; never one of a real account. */
const SIGNER = {
  accessKeyId: 'TIDEMARKTESTACCESS00',
  secretAccessKey: 'tidemark-test-secret-0000000000000000000',
  region: 'us-east-1',
};

/** Environment in which the SDK finds the identity of the test servers and nothing of this machine. */
export const S3_TEST_ENV: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: SIGNER.accessKeyId,
  AWS_SECRET_ACCESS_KEY: SIGNER.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
};

/** Why a server is not there, in one line; null when it is. */
export function whyNoS3(kind: S3Kind): string | null {
  if (existsSync(join(CACHE, kind, 'version'))) return null;
  const told = join(CACHE, kind, 'unavailable');
  const why = existsSync(told) ? readFileSync(told, 'utf8').trim() : 'run `make s3`';
  return `${kind} is not on this machine (${why})`;
}

/**
 * A group of tests on each S3 server. Where one cannot be had, one test stands for the group:
 * skipped, with the reason in its name, or failed when `TIDEMARK_REQUIRE=all`.
 *
 * @param kinds - Which; default all. `['moto']` for what needs KMS too, or one server only.
 */
export function describeWithS3(
  name: string,
  tests: (kind: S3Kind) => void,
  kinds: readonly S3Kind[] = S3_KINDS,
): void {
  for (const kind of kinds) {
    const reason = whyNoS3(kind);
    if (reason === null) {
      describe(`${name} (${kind})`, { timeout: TEST_MS_MAX }, () => {
        tests(kind);
      });
    } else {
      it.skipIf(!serversRequired())(`${name}: ${reason}`, () => {
        throw new Error(reason);
      });
    }
  }
}

/** How a test wants its server. */
export interface StartS3Options {
  readonly kind: S3Kind;
  /** Environment over the usual one, e.g. moto's own settings. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A real S3 server on loopback with one empty bucket, removed with `await using`. Starting one
 * puts the identity of the test servers into the environment of this process.
 *
 * versitygw keeps its objects over `kill` and `restart`; moto holds them in memory.
 */
export class S3Server implements AsyncDisposable {
  readonly kind: S3Kind;
  readonly bucket = 'tidemark-test';
  /** For the environment of a process that is to use the store. */
  readonly env = S3_TEST_ENV;
  readonly #temp: TempDir;
  readonly #options: StartS3Options;
  readonly #child: ChildServer;
  #port = 0;

  private constructor(options: StartS3Options, temp: TempDir) {
    this.kind = options.kind;
    this.#options = options;
    this.#temp = temp;
    this.#child = new ChildServer(options.kind, START_SECONDS_MAX);
  }

  static async start(options: StartS3Options): Promise<S3Server> {
    Object.assign(process.env, S3_TEST_ENV);
    const server = new S3Server(options, await TempDir.create('tidemark-s3-'));
    try {
      await server.#child.start(async () => server.#launch(await freePort()));
      await server.createBucket(server.bucket);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The folder of versitygw's bucket: an object is a file there. */
  get bucketDir(): string {
    return join(this.#temp.path, 'data', this.bucket);
  }

  /** Settings of a store in the bucket. */
  settings(over: Partial<S3StoreSettings> = {}): S3StoreSettings {
    return {
      kind: 's3',
      bucket: this.bucket,
      prefix: '',
      region: SIGNER.region,
      endpoint: this.endpoint,
      forcePathStyle: true,
      storageClass: null,
      objectLockDays: 0,
      partSize: 5 * 1024 * 1024,
      concurrency: 4,
      checksum: 'when_required',
      ...over,
    };
  }

  /** Sends a signed request past the product: to prepare a bucket, or to ask what lies in it. */
  request(request: S3Request): Promise<S3Answer> {
    return sendS3(this.endpoint, SIGNER, request);
  }

  /** Makes a bucket; with Object Lock where it is wanted. */
  async createBucket(name: string, options: { readonly objectLock?: boolean } = {}): Promise<void> {
    const answer = await this.request({
      method: 'PUT',
      path: `/${name}`,
      headers: options.objectLock === true ? { 'x-amz-bucket-object-lock-enabled': 'true' } : {},
    });
    if (answer.status !== 200) throw new Error(`no bucket: ${answer.status} ${answer.body}`);
  }

  /** SIGKILL and wait. */
  async kill(): Promise<void> {
    await this.#child.end('SIGKILL');
  }

  /** Starts on the same port and folder. */
  async restart(): Promise<void> {
    await this.#child.restart(() => this.#launch(this.#port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#temp[Symbol.asyncDispose]();
  }

  async #launch(port: number): Promise<boolean> {
    this.#port = port;
    const { env, ...command } = await this.#command(port);
    return this.#child.launch({
      ...command,
      env: { ...env, ...this.#options.env },
      isUp: () => answers(this.endpoint),
    });
  }

  async #command(port: number): Promise<{
    program: string;
    args: readonly string[];
    env: Readonly<Record<string, string>>;
  }> {
    if (this.kind === 'moto') {
      return {
        program: join(CACHE, 'moto/venv/bin/python'),
        args: [MOTO_SERVER, String(port)],
        env: {},
      };
    }
    const [data, sidecar] = [join(this.#temp.path, 'data'), join(this.#temp.path, 'sidecar')];
    for (const folder of [data, sidecar]) await mkdir(folder, { recursive: true });
    return {
      program: join(CACHE, 'versitygw/bin/versitygw'),
      args: [
        ...['--port', `127.0.0.1:${port}`, '--region', SIGNER.region, '--quiet', '--keep-alive'],
        ...['posix', '--sidecar', sidecar, data],
      ],
      env: {
        ROOT_ACCESS_KEY_ID: SIGNER.accessKeyId,
        ROOT_SECRET_ACCESS_KEY: SIGNER.secretAccessKey,
      },
    };
  }
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    const answer = await fetch(endpoint, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return true;
  } catch {
    return false; // not yet
  }
}
