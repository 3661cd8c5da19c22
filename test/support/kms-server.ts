import type { KeySettings } from '@tidemark/crypto';
import { kmsError } from './fault-proxy-faults.ts';
import { FaultProxy, type FaultRule } from './fault-proxy.ts';
import { describeWithS3, S3Server, S3_TEST_ENV } from './s3-servers.ts';

const REGION = 'us-east-1';

/** Settings of a key service. */
export type KmsSettings = KeySettings & { readonly provider: 'aws-kms' };

/**
 * A group of tests on a real key service (moto). Where it cannot be had, one test stands for the
 * group: skipped, with the reason in its name, or failed when `TIDEMARK_REQUIRE=all`.
 */
export function describeWithKms(name: string, tests: () => void): void {
  describeWithS3(name, tests, ['moto']);
}

/**
 * A key service on loopback, in a process of its own (moto, which is a store too: `s3`). It keeps its
 * keys in memory, honours contexts and knows no policies: who may do what is said by a proxy before
 * it (`refuse`).
 */
export class KmsServer implements AsyncDisposable {
  /** The same process as an S3 server. */
  readonly s3: S3Server;
  /** For the environment of a process that is to use the keys. */
  readonly env = S3_TEST_ENV;

  private constructor(s3: S3Server) {
    this.s3 = s3;
  }

  static async start(): Promise<KmsServer> {
    return new KmsServer(await S3Server.start({ kind: 'moto' }));
  }

  get endpoint(): string {
    return this.s3.endpoint;
  }

  /** Settings whose default key is `kmsKeyId`, asked at `endpoint`: the server's own, or a proxy's. */
  settings(ringDir: string, kmsKeyId: string, endpoint: string = this.endpoint): KmsSettings {
    return { provider: 'aws-kms', ringDir, kmsKeyId, region: REGION, endpoint };
  }

  /** Makes a symmetric key; its ARN. */
  async createKey(description = 'of a test'): Promise<string> {
    const { KeyMetadata } = (await this.ask('CreateKey', { Description: description })) as {
      readonly KeyMetadata: { readonly Arn: string };
    };
    return KeyMetadata.Arn;
  }

  /** Switches a key off. The server goes on using it all the same; a proxy says `DisabledException`. */
  async disableKey(arn: string): Promise<void> {
    await this.ask('DisableKey', { KeyId: arn.split('/')[1] }); // it takes no ARN here
  }

  /** Calls an operation past the product: to prepare keys, or to see what was done to them. */
  async ask(action: string, body: Readonly<Record<string, unknown>>): Promise<unknown> {
    const answer = await fetch(this.endpoint, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': `TrentService.${action}`,
        authorization: `AWS4-HMAC-SHA256 Credential=test/20260101/${REGION}/kms/aws4_request, SignedHeaders=host, Signature=0`,
      },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${action}: ${answer.status} ${text}`);
    return text === '' ? {} : JSON.parse(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.s3[Symbol.asyncDispose]();
  }
}

/**
 * Who wraps data keys in a test of captures: a ring, a key service of its own, or one that several
 * tests share, which then belongs to them.
 */
export type TestKeys = 'ring' | 'kms' | GuardedKms;

/**
 * `TIDEMARK_TEST_KEYS=kms` runs tests of captures on a key service that refuses the archiver to open
 * data keys; otherwise they run on a ring.
 */
export function testKeys(): 'ring' | 'kms' {
  return process.env.TIDEMARK_TEST_KEYS === 'kms' ? 'kms' : 'ring';
}

/** A key service, a proxy before it, and a key. Who may do what is up to the test. */
export class GuardedKms implements AsyncDisposable {
  readonly server: KmsServer;
  readonly proxy: FaultProxy;
  readonly keyId: string;

  private constructor(server: KmsServer, proxy: FaultProxy, keyId: string) {
    this.server = server;
    this.proxy = proxy;
    this.keyId = keyId;
  }

  static async start(): Promise<GuardedKms> {
    const server = await KmsServer.start();
    const proxy = await FaultProxy.start(server.endpoint);
    return new GuardedKms(server, proxy, await server.createKey());
  }

  /** Flags of `tidemark init` for the key, asked for through the proxy. */
  get initFlags(): readonly string[] {
    const at = ['--kms-endpoint', this.proxy.url, '--kms-region', REGION];
    return ['--keys', 'aws-kms', '--kms-key', this.keyId, ...at];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

/** The identity of archiver processes: the proxy knows it by its access key. */
export const ARCHIVER_IDENTITY: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: 'TIDEMARKARCHIVER0000',
};

/** Refuses operations to whoever comes through the proxy, as a policy would; the rule that does it. */
export function refuse(proxy: FaultProxy, ...actions: readonly string[]): FaultRule {
  const rule: FaultRule = {
    match: { target: new RegExp(`^TrentService\\.(${actions.join('|')})$`) },
    fault: kmsError('AccessDeniedException'),
    times: Infinity,
  };
  proxy.rules.push(rule);
  return rule;
}

/**
 * The right of an archiver is to make data keys; it opens none.
 * @param identity - Access keys it holds for; default all.
 */
export function refuseOpening(proxy: FaultProxy, identity = /^/): FaultRule {
  const rule = refuse(proxy, 'Decrypt', 'ReEncrypt', 'Encrypt');
  const narrow: FaultRule = { ...rule, match: { ...rule.match, identity } };
  proxy.rules.splice(proxy.rules.indexOf(rule), 1, narrow);
  return narrow;
}
