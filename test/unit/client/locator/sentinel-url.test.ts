import { isSentinelUrl, parseSentinelUrl } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

describe('parseSentinelUrl()', () => {
  it('reads hosts in order, ports, user, name and TLS', () => {
    expect(parseSentinelUrl('redis+sentinel://a:26380,10.0.0.2,[::1]:5/orders.eu-1_x')).toEqual({
      tls: false,
      sentinels: [
        { host: 'a', port: 26380 },
        { host: '10.0.0.2', port: 26379 },
        { host: '::1', port: 5 },
      ],
      master: 'orders.eu-1_x',
    });
    expect(parseSentinelUrl('REDISS+SENTINEL://cap%40ture@h/m/')).toEqual({
      tls: true,
      sentinels: [{ host: 'h', port: 26379 }],
      master: 'm',
      username: 'cap@ture',
    });
  });

  it('takes a Sentinel that is named twice as one', () => {
    expect(parseSentinelUrl('redis+sentinel://h,H:26379/m').sentinels).toHaveLength(1);
  });

  it.each([
    'redis://h/m',
    'redis+sentinel://h',
    'redis+sentinel://h/',
    'redis+sentinel:///m',
    'redis+sentinel://h,/m',
    'redis+sentinel://h,,i/m',
    'redis+sentinel://h:0/m',
    'redis+sentinel://h:65536/m',
    'redis+sentinel://h:1:2/m',
    'redis+sentinel://[::1/m',
    'redis+sentinel://h h/m',
    'redis+sentinel://h/m?db=1',
    'redis+sentinel://h/m#1',
    'redis+sentinel://h/m/1',
    'redis+sentinel://h/m%20m',
    'redis+sentinel://h/%zz',
    'redis+sentinel://%e0@h/m',
    `redis+sentinel://${Array.from({ length: 17 }, (_, i) => `h${i}`).join(',')}/m`,
  ])('refuses %s', (url) => {
    expect(() => parseSentinelUrl(url)).toThrow(expect.objectContaining({ code: 'TM_USAGE' }));
  });

  it('refuses a password and does not repeat it', () => {
    let refusal: unknown;
    try {
      parseSentinelUrl('redis+sentinel://user:hunter2@h/m');
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({
      code: 'TM_USAGE',
      hint: expect.stringContaining('--sentinel-pass-file') as unknown,
    });
    expect(String(refusal) + JSON.stringify(refusal)).not.toContain('hunter2');
  });

  it('tells addresses of sets from those of nodes', () => {
    expect(isSentinelUrl('redis+sentinel://h/m')).toBe(true);
    expect(isSentinelUrl('rediss+sentinel://h/m')).toBe(true);
    expect(isSentinelUrl('redis://h')).toBe(false);
    expect(isSentinelUrl('unix:///redis+sentinel://')).toBe(false);
  });
});
