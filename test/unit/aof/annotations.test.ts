import { describe, expect, it } from 'vitest';
import { ANNOTATION_BYTES_MAX, parseTimestampLine } from '@tidemark/aof';

const parse = (text: string): number | null => {
  const bytes = Buffer.from(`..${text}..`);
  return parseTimestampLine(bytes, 2, 2 + text.length);
};

describe('parseTimestampLine()', () => {
  it('reads the second of a #TS line with CR LF or LF', () => {
    expect(parse('#TS:1700000000\r\n')).toBe(1_700_000_000);
    expect(parse('#TS:7\n')).toBe(7);
    expect(parse('#TS:999999999999999\r\n')).toBe(999_999_999_999_999);
  });

  it.each([
    '#TS:\r\n',
    '#TS:1 \r\n',
    '#TS:+1\r\n',
    '#TS:1000000000000000\r\n',
    '#TZ:1\r\n',
    '#\r\n',
    '#TS:\n',
  ])('answers null for %j', (line) => {
    expect(parse(line)).toBeNull();
  });

  it('the longest line is that of the servers', () => {
    expect(ANNOTATION_BYTES_MAX).toBe(1024);
  });
});
