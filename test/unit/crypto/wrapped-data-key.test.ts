import { encodeWrappedDataKey, parseWrappedDataKey, type WrappedDataKey } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';

const wrapped: WrappedDataKey = {
  format: 1,
  provider: 'ring',
  keyId: 'ab'.repeat(16),
  keyVersion: 3,
  wrapped: Buffer.from('sealed').toString('base64'),
  context: { instance: 'orders', purpose: 'segments', dekId: '0f'.repeat(16) },
  createdMs: 1_790_000_000_123,
};

function refusal(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return 'no error';
}

const parseText = (text: string): unknown => refusal(() => parseWrappedDataKey(Buffer.from(text)));

describe('encodeWrappedDataKey()', () => {
  it('writes one line with the fields in their order', () => {
    const shuffled = Object.fromEntries(Object.entries(wrapped).reverse()) as unknown;
    const text =
      '{"format":1,"provider":"ring","keyId":"abababababababababababababababab","keyVersion":3,' +
      '"wrapped":"c2VhbGVk","context":{"instance":"orders","purpose":"segments",' +
      '"dekId":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"},"createdMs":1790000000123}\n';
    expect(encodeWrappedDataKey(wrapped).toString()).toBe(text);
    expect(encodeWrappedDataKey(shuffled as WrappedDataKey).toString()).toBe(text);
    expect(parseWrappedDataKey(Buffer.from(text))).toEqual(wrapped);
  });

  it('takes the ARN of a key service as key id', () => {
    const keyId = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
    const other = { ...wrapped, provider: 'aws-kms', keyId, keyVersion: 0 };
    expect(parseWrappedDataKey(encodeWrappedDataKey(other))).toEqual(other);
  });

  it('refuses what it could not read back', () => {
    const wrong = { ...wrapped, keyId: 'with space' };
    expect(refusal(() => encodeWrappedDataKey(wrong))).toMatchObject({
      code: 'TM_USAGE',
      context: { field: 'keyId' },
    });
  });
});

describe('parseWrappedDataKey()', () => {
  const context = wrapped.context;

  it.each<[string, object]>([
    ['format', { format: 2 }],
    ['provider', { provider: 'Ring' }],
    ['provider', { provider: '' }],
    ['keyId', { keyId: 7 }],
    ['keyId', { keyId: 'a"b' }],
    ['keyId', { keyId: 'k'.repeat(2049) }],
    ['keyVersion', { keyVersion: -1 }],
    ['keyVersion', { keyVersion: 1.5 }],
    ['keyVersion', { keyVersion: '3' }],
    ['wrapped', { wrapped: '' }],
    ['wrapped', { wrapped: 'c2VhbGV' }],
    ['wrapped', { wrapped: 'c2Vh bGVk' }],
    ['wrapped', { wrapped: 'c2VhbGVl_-==' }],
    ['createdMs', { createdMs: null }],
    ['context.instance', { context: { ...context, instance: '../up' } }],
    ['context.purpose', { context: { ...context, purpose: 'spool' } }],
    ['context.dekId', { context: { ...context, dekId: '0F'.repeat(16) } }],
    ['context.instance', { context: [] }],
  ])('refuses a wrong %s: %j', (field, change) => {
    expect(parseText(JSON.stringify({ ...wrapped, ...change }) + '\n')).toMatchObject({
      code: 'TM_KEY_FORMAT',
      context: { field },
    });
  });

  it('refuses every encoding but the canonical one', () => {
    const text = encodeWrappedDataKey(wrapped).toString();
    const others = [
      text.trimEnd(),
      ` ${text}`,
      `${text}\n`,
      JSON.stringify(wrapped, null, 2) + '\n',
      text.replace('"format":1,', '"format":1,"more":0,'),
      text.replace('"format":1,', '"format":1,"format":1,'),
      text.replace('"segments"', '"segm\\u0065nts"'),
      text.replace('"keyVersion":3', '"keyVersion":3.0'),
      text.replace('"format":1,', '').replace('}\n', ',"format":1}\n'),
    ];
    for (const other of others) expect(parseText(other)).toMatchObject({ code: 'TM_KEY_FORMAT' });
  });

  it('refuses anything else without a crash', () => {
    for (const other of ['', '{', 'null', '[]', '1', '"x"', '{}', '\ufeff{}', '[[[[']) {
      expect(parseText(other)).toMatchObject({ code: 'TM_KEY_FORMAT' });
    }
    const huge = refusal(() => parseWrappedDataKey(Buffer.alloc(20_000, 0x20)));
    expect(huge).toMatchObject({ code: 'TM_KEY_FORMAT' });
  });

  it('refuses every truncation', () => {
    const bytes = encodeWrappedDataKey(wrapped);
    for (let length = 0; length < bytes.length; length++) {
      const error = refusal(() => parseWrappedDataKey(bytes.subarray(0, length)));
      expect(error).toMatchObject({ code: 'TM_KEY_FORMAT' });
    }
  });
});
