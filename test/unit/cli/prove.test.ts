import { expect, it } from 'vitest';
import { span } from '../../../services/cli/src/commands/prove.ts';

it('tells where a hole lies, also one without a whole second', () => {
  const [first, second] = ['2026-11-21T14:19:02Z', '2026-11-21T14:19:03Z'];
  expect(span(first, second)).toBe(`${first} to ${second}`);
  expect(span(first, first)).toBe(`${first} to ${first}`);
  expect(span(second, first)).toBe(`between ${first} and ${second}`);
  expect(span(null, second)).toBe(`? to ${second}`);
});
