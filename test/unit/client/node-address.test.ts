import { TidemarkError } from '@tidemark/core';
import { describeAddress, parseNodeUrl } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

describe('parseNodeUrl()', () => {
  it.each([
    ['redis://db.example:7000', { host: 'db.example', port: 7000 }],
    ['redis://db.example', { host: 'db.example', port: 6379 }],
    ['redis://db.example/', { host: 'db.example', port: 6379 }],
    ['redis://10.0.0.1:1', { host: '10.0.0.1', port: 1 }],
    ['redis://[::1]:6380', { host: '::1', port: 6380 }],
    ['redis://back%40up@h:65535', { host: 'h', port: 65535, username: 'back@up' }],
    ['rediss://h:1', { host: 'h', port: 1, secure: true }],
    ['rediss://u@h', { host: 'h', port: 6379, username: 'u', secure: true }],
    ['unix:///run/a%20b.sock', { host: 'localhost', port: 6379, path: '/run/a b.sock' }],
    [
      'unix://load%2Der@/run/a.sock',
      { host: 'localhost', port: 6379, path: '/run/a.sock', username: 'load-er' },
    ],
  ])('reads %s', (url, address) => {
    expect(parseNodeUrl(url)).toEqual(address);
  });

  it.each([
    'redis://user:secret@h:1',
    'redis://:secret@h:1',
    'redis://h:1/0',
    'redis://h:1?x=secret',
    'redis://h:1#x',
    'redis://h:65536',
    'redis://h:0',
    'redis://',
    'redis:///x',
    'rediss://h:1/0',
    'rediss://u:secret@h:1',
    'redisss://h:1',
    'http://h:1',
    'h:1',
    '',
    'unix://',
    'unix:///',
    'unix://host/path',
    'unix:///a%00b',
    'redis://%zz@h:1',
  ])('refuses %j and does not repeat it', (url) => {
    let error: unknown;
    try {
      parseNodeUrl(url);
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code: 'TM_USAGE' });
    expect(JSON.stringify([(error as TidemarkError).message, (error as TidemarkError).hint])) //
      .not.toContain('secret');
  });
});

describe('describeAddress()', () => {
  it('leaves user and password away and can be read again', () => {
    for (const url of ['redis://h:1', 'redis://[::1]:2', 'rediss://h:3', 'unix:///run/x.sock']) {
      expect(describeAddress({ ...parseNodeUrl(url), username: 'u', password: 'p' })).toBe(url);
    }
  });
});
