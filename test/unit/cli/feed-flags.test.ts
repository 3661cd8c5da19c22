import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { feedTlsOf, newServerTlsOf } from '../../../services/cli/src/commands/feed-flags.ts';

const DIGITS = 'ab'.repeat(32);
const PIN = Array.from({ length: 32 }, () => 'AB').join(':');
const usage = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'TM_USAGE', message: expect.stringMatching(message) as unknown });

describe('feedTlsOf()', () => {
  it('says nothing without flags, and gives absolute paths', () => {
    expect(feedTlsOf({ feedListen: '127.0.0.1' })).toBeNull();
    expect(feedTlsOf({ feedCert: 'f.pem', feedKey: 'f.key', feedCa: ['a.pem'] })).toEqual({
      certFile: resolve('f.pem'),
      keyFile: resolve('f.key'),
      caFiles: [resolve('a.pem')],
    });
  });

  it.each([DIGITS, DIGITS.toUpperCase(), PIN, `sha256 Fingerprint=${PIN}`])(
    'reads the pin %s',
    (feedPin) => {
      expect(feedTlsOf({ feedPin })).toEqual({ pin: PIN });
    },
  );

  it.each(['', 'ab', `${DIGITS}00`, 'xy'.repeat(32)])('refuses the pin %j', (feedPin) => {
    expect(() => feedTlsOf({ feedPin })).toThrow(usage(/--feed-pin/));
  });

  it('refuses a certificate without its key, and the reverse', () => {
    expect(() => feedTlsOf({ feedCert: 'f.pem' })).toThrow(usage(/belong together/));
    expect(() => feedTlsOf({ feedKey: 'f.key' })).toThrow(usage(/belong together/));
  });
});

describe('newServerTlsOf()', () => {
  const all = { tlsCert: 's.pem', tlsKey: 's.key', tlsCa: ['a.pem', 'b.pem'] };

  it('takes certificate, key and authorities together, or none of them', () => {
    expect(newServerTlsOf({})).toBeNull();
    expect(newServerTlsOf(all)).toEqual({
      certFile: resolve('s.pem'),
      keyFile: resolve('s.key'),
      caFiles: [resolve('a.pem'), resolve('b.pem')],
    });
    for (const name of ['tlsCert', 'tlsKey', 'tlsCa'] as const) {
      const { [name]: _, ...rest } = all;
      expect(() => newServerTlsOf(rest)).toThrow(usage(/--tls-cert, --tls-key and --tls-ca/));
    }
  });

  it.each([
    [{ feedCert: 'f.pem' }, /--feed-cert/],
    [{ feedPin: PIN }, /--feed-pin/],
    [{ tlsName: 'x' }, /--tls-name/],
  ])('refuses %j, which a new server has no use for', (flags, message) => {
    expect(() => newServerTlsOf({ ...all, ...flags })).toThrow(usage(message));
  });
});
