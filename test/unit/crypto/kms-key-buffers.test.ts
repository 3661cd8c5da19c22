import { describe, expect, it } from 'vitest';
import { newDataKeyOf } from '../../../libs/crypto/src/kms/kms-answers.ts';
import { checkAuthorization } from '../../../libs/crypto/src/kms/kms-authorization.ts';
import { KmsService, type KmsCall } from '../../../libs/crypto/src/kms/kms-service.ts';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';

const ARN = 'arn:aws:kms:us-east-1:123456789012:key/1';
const OTHER = 'arn:aws:kms:us-east-1:123456789012:key/2';
const connection = { region: 'us-east-1', endpoint: 'http://127.0.0.1:1' };
const ZEROS = Buffer.alloc(32);

interface GivenAnswer {
  readonly Plaintext: Uint8Array;
  readonly CiphertextBlob?: Uint8Array;
  readonly KeyId: string;
}

/** Gives the answers as the SDK does, so that a test holds the buffers that keys come in. */
class GivenAnswers extends KmsService {
  readonly #answers: GivenAnswer[];
  constructor(answers: readonly GivenAnswer[]) {
    super({ connection, clock: standingClock(1), random: seededRandom('kms') });
    this.#answers = [...answers];
  }
  override call<T>(call: KmsCall<T>): Promise<T> {
    const send = (): Promise<unknown> => Promise.resolve(this.#answers.shift());
    return call.run(
      { send } as unknown as Parameters<KmsCall<T>['run']>[0],
      new AbortController().signal,
    );
  }
}

describe('the buffer that a data key came in', () => {
  const key = (): Buffer => Buffer.alloc(32, 7);
  const blob = Buffer.from('wrapped');

  it.each<[string, Omit<GivenAnswer, 'Plaintext'>, object]>([
    ['without a ciphertext', { KeyId: ARN }, { name: 'InternalFailure' }],
    ['of another key', { KeyId: OTHER, CiphertextBlob: blob }, { code: 'TM_KEY_REFUSED' }],
  ])('is zero-filled when the answer is one %s', (_, answer, error) => {
    const plaintext = key();
    expect(() =>
      newDataKeyOf({ ...answer, Plaintext: plaintext }, { action: 'GenerateDataKey', keyId: ARN }),
    ).toThrow(expect.objectContaining(error) as Error);
    expect(plaintext).toEqual(ZEROS);
  });

  it('is zero-filled when the canary of an authorization is refused', async () => {
    const plaintext = key();
    const service = new GivenAnswers([
      { Plaintext: plaintext, KeyId: OTHER, CiphertextBlob: blob },
    ]);
    const found = await checkAuthorization({
      ...{ service, keyId: ARN, instance: 'orders' },
      describe: () => Promise.resolve(null),
    });
    expect(found).toMatchObject({ state: 0, failed: [{ action: 'kms:GenerateDataKey' }] });
    expect(plaintext).toEqual(ZEROS);
  });

  it('is handed to be zero-filled when the answer comes after its time', async () => {
    let timeOut: () => void = () => undefined;
    let answer: (key: Buffer) => void = () => undefined;
    const clock = {
      ...standingClock(1),
      sleep: (): Promise<void> => new Promise((resolve) => (timeOut = resolve)),
    };
    const service = new KmsService({
      ...{ connection, clock, random: seededRandom('kms'), limits: { attempts: 1 } },
    });
    const late = key();
    const aborted: boolean[] = [];
    const call = service.call({
      ...{ action: 'Decrypt', keyId: null },
      run: (_, signal) =>
        new Promise<Buffer>((resolve) => {
          signal.addEventListener('abort', () => aborted.push(true));
          answer = resolve;
        }),
      discard: (bytes) => bytes.fill(0),
    });
    timeOut();
    await expect(call).rejects.toMatchObject({ code: 'TM_KEY_SERVICE' });
    expect(aborted).toEqual([true]);
    answer(late);
    await Promise.resolve();
    expect(late).toEqual(ZEROS);
  });

  it('is left to the caller when the answer was in time', async () => {
    let timeOut: () => void = () => undefined;
    const clock = {
      ...standingClock(1),
      sleep: (): Promise<void> => new Promise((resolve) => (timeOut = resolve)),
    };
    const service = new KmsService({ connection, clock, random: seededRandom('kms') });
    const call = service.call({
      ...{ action: 'Decrypt', keyId: null },
      run: () => Promise.resolve(key()),
      discard: (bytes) => bytes.fill(0),
    });
    const opened = await call;
    timeOut();
    await Promise.resolve();
    expect(opened).toEqual(key());
  });
});
