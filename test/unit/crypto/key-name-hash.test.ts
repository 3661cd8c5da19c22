import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { authenticateLogBytes, keyNameHasher } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';

const logKey = { id: '00'.repeat(16), key: Buffer.alloc(32, 1) };
const name = Buffer.from('user:1');

describe('the hash of the name of a key', () => {
  it.each([
    [1, 'user:1', 'hmac:e621970f6dac1c4da543735225c5ed09'],
    [2, 'user:1', 'hmac:8ee75ab886123bbe6375d8e2a246e225'],
    [1, '', 'hmac:589da109f92bbc568c54c9125b81b3e4'],
  ])('is always the same: under %i, of "%s"', (byte, text, hash) => {
    const key = { ...logKey, key: Buffer.alloc(32, byte) };
    expect(keyNameHasher(key)(Buffer.from(text))).toBe(hash);
  });

  it('is HMAC-SHA-256 under a key that is derived for it alone', () => {
    const info = Buffer.from('tidemark/key-name/v1\0');
    const derived = Buffer.from(hkdfSync('sha512', logKey.key, Buffer.alloc(0), info, 32));
    const digest = createHmac('sha256', derived).update(name).digest('hex');
    expect(keyNameHasher(logKey)(name)).toBe(`hmac:${digest.slice(0, 32)}`);
  });

  it('is found neither by hashing names nor with what authenticates the log', () => {
    const hash = keyNameHasher(logKey)(name).slice(5);
    expect(createHash('sha256').update(name).digest('hex')).not.toContain(hash);
    expect(authenticateLogBytes(logKey.key, name).toString('hex')).not.toContain(hash);
  });
});
