import {
  encodeBulk,
  encodeCommand,
  encodeError,
  encodeInteger,
  encodeSimple,
} from '@tidemark/resp';
import { describe, expect, it } from 'vitest';

describe('encodeCommand()', () => {
  it('counts bytes, not characters', () => {
    expect(encodeCommand(['SET', 'ä', 7, 8n]).toString()).toBe(
      '*4\r\n$3\r\nSET\r\n$2\r\nä\r\n$1\r\n7\r\n$1\r\n8\r\n',
    );
  });

  it('leaves binary arguments as they are', () => {
    const binary = Buffer.from([0, 255, 13, 10, 36]);
    expect(encodeCommand([binary]).subarray(8, 13).equals(binary)).toBe(true);
  });
});

describe('replies', () => {
  it('are encoded as RESP2 says', () => {
    expect(encodeSimple('PONG').toString()).toBe('+PONG\r\n');
    expect(encodeInteger(-5).toString()).toBe(':-5\r\n');
    expect(encodeBulk('ab').toString()).toBe('$2\r\nab\r\n');
    expect(encodeBulk(null).toString()).toBe('$-1\r\n');
  });

  it('cannot be broken into two by line breaks in a text', () => {
    expect(encodeError('ERR a\r\n+OK').toString()).toBe('-ERR a  +OK\r\n');
    expect(encodeSimple('a\nb').toString()).toBe('+a b\r\n');
  });
});
