import { connectNode } from '@tidemark/client';
import { compileSelector } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { glob, specOf } from '../support/selector/selecting.ts';

const PATTERNS = 1_500;
const KEYS = 250;

/** Numbers that look random and are the same in every run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 8;
  }
}

function wordsOf(alphabet: readonly string[], lengthMax: number, seed: number): () => Buffer {
  const next = numbers(seed);
  const below = (max: number): number => next.next().value % max;
  return () =>
    Buffer.from(
      Array.from({ length: 1 + below(lengthMax) }, () => alphabet[below(alphabet.length)]!).join(
        '',
      ),
    );
}

const hex = (keys: readonly Buffer[]): string[] => keys.map((key) => key.toString('hex')).sort();

describe('glob', () => {
  it('selects what KEYS of a real server finds, classes that are not closed included', async () => {
    await using server = await startRedis();
    await using client = await connectNode({ host: '127.0.0.1', port: server.port });
    const word = wordsOf(Array.from('aaabbb-]^[\\cé\n'), 7, 1);
    const keys = [
      ...new Map(
        Array.from({ length: KEYS }, word).map((key) => [key.toString('hex'), key] as const),
      ).values(),
      Buffer.from([0xff, 0x61]),
      Buffer.from([0xc3]),
    ];
    await client.pipeline(keys.map((key) => ['SET', key, '1']));
    // No range over bytes of which one is not ASCII: there servers differ by the machine's sign of char.
    const withRanges = wordsOf(Array.from('ab-]^[\\*?*?[]c'), 8, 2);
    const withBytes = wordsOf(Array.from('ab]^[\\*?*?[]cé'), 8, 3);
    let found = 0;
    for (let run = 0; run < PATTERNS; run += 1) {
      const text = run % 3 === 0 ? withBytes() : withRanges();
      const selector = compileSelector(specOf({ include: [glob(text.toString())] }));
      const theirs = (await client.callBuffer('KEYS', text)) as Buffer[];
      found += theirs.length;
      const ours = keys.filter((key) => selector.matches(0, key));
      expect([text.toString(), hex(ours)]).toEqual([text.toString(), hex(theirs)]);
    }
    expect(found).toBeGreaterThan(PATTERNS);
  });
});
