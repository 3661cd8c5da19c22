import { KeyDirectory, type KeySettings } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { KeyProviders } from '../../libs/crypto/src/keys/key-providers.ts';
import { openKeyRing } from '../../libs/crypto/src/keys/key-ring.ts';
import { RingWrapper } from '../../libs/crypto/src/keys/ring-wrapper.ts';
import type { KmsLimits } from '../../libs/crypto/src/kms/kms-service.ts';
import { openKmsWrapper } from '../../libs/crypto/src/kms/kms-wrapper.ts';
import { kmsError } from './fault-proxy-faults.ts';
import type { FaultProxy, FaultRule } from './fault-proxy.ts';
import { describeWithS3, S3Server, S3_TEST_ENV } from './s3-servers.ts';

const REGION = 'us-east-1';

/** Settings of a key service. */
export type KmsSettings = KeySettings & { readonly provider: 'aws-kms' };

/** Bounds of calls in tests of failures: the same number of tries, without long waits. */
export const QUICK_KMS: Partial<KmsLimits> = {
  attempts: 4,
  attemptMs: 3_000,
  baseMs: 5,
  capMs: 20,
};

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

/** The right of an archiver is to make data keys; it opens none. */
export function refuseOpening(proxy: FaultProxy): FaultRule {
  return refuse(proxy, 'Decrypt', 'ReEncrypt');
}

/** Providers as `openKeys` puts them together, with bounds of calls fit for tests of failures. */
export async function openTestKeys(
  settings: KmsSettings,
  o: { readonly directory?: KeyDirectory; readonly limits?: Partial<KmsLimits> } = {},
): Promise<KeyProviders> {
  const { ringDir, region, endpoint, kmsKeyId } = settings;
  const ports = { clock: systemClock, random: systemRandom };
  const ring = await openKeyRing({ dir: ringDir, ...ports });
  const wrapper = new RingWrapper(ring);
  const kms = openKmsWrapper({
    connection: { region, endpoint },
    kmsKeyId,
    limits: o.limits ?? QUICK_KMS,
    ...ports,
  });
  return new KeyProviders({
    settingsProvider: 'aws-kms',
    wrappers: new Map([
      ['ring', () => Promise.resolve(wrapper)],
      ['aws-kms', () => Promise.resolve(kms)],
    ]),
    directory: o.directory ?? new KeyDirectory(),
    logKey: (instance) => ring.logKey(instance),
  });
}
