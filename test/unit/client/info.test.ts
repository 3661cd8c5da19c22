import { Info } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

const info = Info.parse(
  '# Server\r\nredis_version:7.0.15\r\nempty:\r\n\r\n# Keyspace\r\n' +
    'db0:keys=3,expires=1,avg_ttl=0\r\ndb12:keys=1,expires=0\r\nexecutable:/a:b\r\nx\r\n:y\r\n' +
    'slave0:ip=::1,port=7,state=online\r\nloading:1\r\nstatus:ok\r\nbad:err\r\n' +
    'big:9007199254740993\r\nratio:1.5\r\nword:nan\r\n',
);

describe('Info', () => {
  it('reads values with colons, empty values and values in parts', () => {
    expect(info.get('executable')).toBe('/a:b');
    expect(info.get('empty')).toBe('');
    expect(info.get('x')).toBeUndefined();
    expect(info.fields('db0')).toEqual({ keys: '3', expires: '1', avg_ttl: '0' });
    expect(info.fields('slave0')).toEqual({ ip: '::1', port: '7', state: 'online' });
    expect(info.fields('none')).toEqual({});
    expect(info.names(/^db\d+$/)).toEqual(['db0', 'db12']);
    expect([info.flag('loading'), info.flag('status'), info.flag('bad'), info.flag('none')]) //
      .toEqual([true, true, false, false]);
  });

  it('gives numbers only when they are told and safe', () => {
    expect(info.number('ratio')).toBe(1.5);
    expect(info.number('none', -1)).toBe(-1);
    for (const name of ['none', 'empty', 'big', 'word', 'redis_version']) {
      expect(() => info.number(name)).toThrow(
        expect.objectContaining({
          code: 'TM_NODE_REPLY',
          context: { name, value: info.get(name) ?? null },
        }),
      );
    }
  });
});
