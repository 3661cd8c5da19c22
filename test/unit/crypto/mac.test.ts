import { authenticateLogBytes, verifyLogBytes } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';

const key = Buffer.alloc(32, 0x0b);

describe('authenticateLogBytes()', () => {
  it('is HMAC-SHA-256', () => {
    // RFC 4231 test case 1 has a key of 20 bytes 0b; zero padding makes it the same for HMAC.
    const padded = Buffer.concat([Buffer.alloc(20, 0x0b), Buffer.alloc(12)]);
    expect(authenticateLogBytes(padded, Buffer.from('Hi There')).toString('hex')).toBe(
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    );
  });

  it('refuses a key of another length', () => {
    expect(() => authenticateLogBytes(Buffer.alloc(31), Buffer.alloc(1))).toThrow(
      expect.objectContaining({ code: 'TM_USAGE' }) as Error,
    );
  });
});

describe('verifyLogBytes()', () => {
  const bytes = Buffer.from('entry');
  const mac = authenticateLogBytes(key, bytes);

  it('takes the right authenticator and no other', () => {
    expect(verifyLogBytes(key, bytes, mac)).toBe(true);
    for (let bit = 0; bit < 256; bit++) {
      const changed = Buffer.from(mac);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verifyLogBytes(key, bytes, changed)).toBe(false);
    }
    expect(verifyLogBytes(Buffer.alloc(32, 1), bytes, mac)).toBe(false);
    expect(verifyLogBytes(key, Buffer.from('entrz'), mac)).toBe(false);
  });

  it('is false, and does not throw, for a wrong length', () => {
    for (const wrong of [Buffer.alloc(0), mac.subarray(1), Buffer.concat([mac, mac])]) {
      expect(verifyLogBytes(key, bytes, wrong)).toBe(false);
    }
  });
});
