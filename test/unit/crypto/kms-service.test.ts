import { describe, expect, it } from 'vitest';
import { KmsService, type KmsCall } from '../../../libs/crypto/src/kms/kms-service.ts';
import { seededRandom } from '../../support/crypto-ports.ts';

/** A clock on which only its own sleeps pass; longer ones than a try may take never end. */
function sleepingClock(): {
  slept: number[];
  clock: ConstructorParameters<typeof KmsService>[0]['clock'];
} {
  const slept: number[] = [];
  let now = 0;
  return {
    slept,
    clock: {
      nowMs: () => now,
      monotonicMs: () => now,
      sleep: (delayMs, signal) => {
        if (signal !== undefined) return new Promise(() => undefined); // the time-out of a try
        slept.push(delayMs);
        now += delayMs;
        return Promise.resolve();
      },
    },
  };
}

function named(name: string, status = 400, message = 'UnknownError'): Error {
  const error = new Error(message);
  error.name = name;
  return Object.assign(error, { $metadata: { httpStatusCode: status } });
}

function serviceOf(limits = {}): { service: KmsService; slept: number[] } {
  const { clock, slept } = sleepingClock();
  const connection = { region: 'us-east-1', endpoint: 'http://127.0.0.1:1' };
  const random = seededRandom('kms');
  return { service: new KmsService({ connection, clock, random, limits }), slept };
}

function failing(...failures: readonly Error[]): { call: KmsCall<string>; tries: () => number } {
  let tries = 0;
  const run = (): Promise<string> => {
    const failure = failures[Math.min(tries, failures.length)];
    tries += 1;
    return failure === undefined ? Promise.resolve('done') : Promise.reject(failure);
  };
  return { call: { action: 'Decrypt', keyId: null, run }, tries: () => tries };
}

describe('KmsService.call()', () => {
  it.each([
    ['a throttle', named('ThrottlingException')],
    ['a failure of the service', named('KMSInternalException', 500)],
    ['an unknown failure with 503', named('Anything', 503)],
    ['a key that is away', named('KeyUnavailableException', 500)],
    ['a connection that is refused', Object.assign(new Error('x'), { code: 'ECONNREFUSED' })],
    ['an answer that was cut', new SyntaxError('Unexpected end of JSON input')],
    ['a time-out', named('TimeoutError', 0)],
  ])('repeats after %s, with full jitter under a ceiling that doubles', async (_, failure) => {
    const { service, slept } = serviceOf({ attempts: 6, baseMs: 100, capMs: 400 });
    const { call, tries } = failing(failure, failure, failure, failure);

    expect(await service.call(call)).toBe('done');

    expect(tries()).toBe(5);
    expect(slept).toHaveLength(4);
    for (const [index, ceiling] of [100, 200, 400, 400].entries()) {
      expect(slept[index]).toBeLessThanOrEqual(ceiling);
    }
    expect(new Set(slept).size).toBe(4);
  });

  it('gives up when the tries are used up, and says what failed', async () => {
    const { service } = serviceOf({ attempts: 3 });
    const throttle = named('ThrottlingException');
    const { call, tries } = failing(throttle, throttle, throttle, throttle);

    await expect(service.call(call)).rejects.toMatchObject({
      code: 'TM_KEY_SERVICE',
      retryable: true,
      exitCode: 16,
      context: { action: 'kms:Decrypt', error: 'ThrottlingException', status: 400 },
    });
    expect(tries()).toBe(3);
  });

  it('begins no try after the budget', async () => {
    const { service, slept } = serviceOf({
      attempts: 1_000,
      baseMs: 1_000,
      capMs: 4_000,
      budgetMs: 9_000,
    });
    const failures = Array.from({ length: 1_000 }, () => named('KMSInternalException', 500));
    const { call } = failing(...failures);

    await expect(service.call(call)).rejects.toMatchObject({ code: 'TM_KEY_SERVICE' });
    expect(slept.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(9_000);
  });

  it.each([
    ['AccessDeniedException', 'TM_KEY_DENIED'],
    ['UnrecognizedClientException', 'TM_KEY_DENIED'],
    ['CredentialsProviderError', 'TM_KEY_DENIED'],
    ['DisabledException', 'TM_KEY_DISABLED'],
    ['KMSInvalidStateException', 'TM_KEY_DISABLED'],
    ['InvalidKeyUsageException', 'TM_KEY_DISABLED'],
    ['InvalidCiphertextException', 'TM_KEY_WRONG'],
    ['IncorrectKeyException', 'TM_KEY_WRONG'],
    ['NotFoundException', 'TM_KEY_MISSING'],
    ['SomethingNew', 'TM_KEY_DENIED'],
  ])('takes %s for an answer, at the first try', async (name, code) => {
    const { service } = serviceOf();
    const { call, tries } = failing(named(name));

    await expect(service.call(call)).rejects.toMatchObject({
      code,
      retryable: false,
      exitCode: 12,
      context: { action: 'kms:Decrypt', error: name },
    });
    expect(tries()).toBe(1);
  });

  it('tries once more after a refused time, since the SDK sets its clock by the answer', async () => {
    const skew = named('InvalidSignatureException', 400, 'Signature expired: 20260101T000000Z');
    const once = failing(skew);
    expect(await serviceOf().service.call(once.call)).toBe('done');

    const { call, tries } = failing(skew, skew, skew);
    await expect(serviceOf().service.call(call)).rejects.toMatchObject({ code: 'TM_KEY_DENIED' });
    expect(tries()).toBe(2);
  });

  it('repeats what must not happen twice after a throttle only', async () => {
    const { service } = serviceOf();
    const lost = failing(named('TimeoutError', 0));
    await expect(service.call({ ...lost.call, isRepeatable: false })).rejects.toMatchObject({
      code: 'TM_KEY_SERVICE',
    });
    expect(lost.tries()).toBe(1);

    const throttled = failing(named('ThrottlingException'));
    expect(await service.call({ ...throttled.call, isRepeatable: false })).toBe('done');
  });
});

describe('an address of a key service', () => {
  const open = (endpoint: string): KmsService =>
    new KmsService({
      connection: { region: 'us-east-1', endpoint },
      clock: sleepingClock().clock,
      random: seededRandom('kms'),
    });

  it.each(['http://127.0.0.1:4599', 'http://localhost:1', 'http://[::1]:1', 'https://kms.example'])(
    'may be %s',
    (endpoint) => {
      expect(() => open(endpoint)).not.toThrow();
    },
  );

  it.each([
    'http://kms.example',
    'http://10.0.0.1:4599',
    'http://127.0.0.1.example',
    'http://localhost.example',
    'ftp://127.0.0.1',
    'https://user:secret@kms.example',
    'kms.example',
  ])('is refused as %s: keys would travel in the clear, or it is none', (endpoint) => {
    expect(() => open(endpoint)).toThrow(expect.objectContaining({ code: 'TM_CONFIG' }));
  });
});
