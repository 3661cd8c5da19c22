import { parseVersion } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

describe('parseVersion()', () => {
  it('orders versions as numbers', () => {
    const versions = ['6.0.16', '6.2.7', '7.0.15', '7.2.4', '8.0.2', '9.1.2', '255.255.255'];
    expect(versions.slice(0, -1).map(parseVersion)).toEqual([
      60016, 60207, 70015, 70204, 80002, 90102,
    ]);
    expect(parseVersion('8.10.0-rc1')).toBe(81000);
    for (const text of ['', '7', '7.0', 'v7.0.1', versions.at(-1) ?? '']) {
      expect(() => parseVersion(text)).toThrow(expect.objectContaining({ code: 'TM_NODE_REPLY' }));
    }
  });
});
