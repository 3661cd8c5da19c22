import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adaptCommands, type TargetDialect } from '@tidemark/aof';
import { bytesOf, collectBytes, TidemarkError } from '@tidemark/core';
import { command, decodeChunks, split } from '../support/command-log.ts';

const RUNS = 200;

const word = fc.constantFrom(
  ...['k', 'v', '1', '2', '-1', '', 'PXAT', 'exat', 'FIELDS', 'NX', 'GT', 'LIMIT', '=', '~'],
  ...['MAXLEN', 'MINID', 'KEEPTTL', 'IFEQ', '1-1', '*', 'ABSTTL', 'DB', 'RIGHT', 'LEFT', 'SYNC'],
);
const name = fc.constantFrom(
  ...['set', 'GET', 'hsetex', 'hgetdel', 'msetex', 'xadd', 'xtrim', 'xgroup', 'xsetid', 'lpop'],
  ...['rpop', 'lmove', 'zadd', 'pexpireat', 'flushall', 'select', 'copy', 'restore', 'ping'],
  ...['cluster', 'delex', 'bitop', 'expire', 'setex', 'multi', 'exec', 'swapdb', 'mod.x'],
);
const args = fc
  .tuple(name, fc.array(word, { maxLength: 8 }))
  .map(([first, rest]) => [first, ...rest]);
const log = fc.array(args, { maxLength: 12 });
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });
const target = fc.record<TargetDialect>({
  product: fc.constantFrom('redis', 'valkey'),
  versionNumber: fc.constantFrom(6_00_16, 6_02_00, 7_00_15, 7_04_00, 8_00_06, 8_06_03, 9_01_02),
  databases: fc.constantFrom(null, 16),
  commands: fc.constant(null),
});

/** What comes out, or the code and place of the refusal. */
async function adapted(chunks: readonly Buffer[], options: TargetDialect): Promise<unknown> {
  try {
    const ranAt = (offset: bigint): number => Number(offset) + 1_000_000;
    const source = adaptCommands(bytesOf(...chunks), { target: options, ranAt });
    return await collectBytes(source, 1e6, () => new Error('too long'));
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return [error.code, error.context];
  }
}

describe('adaptCommands()', () => {
  it('gives the same whatever the chunks, and whole commands', async () => {
    await fc.assert(
      fc.asyncProperty(log, sizes, target, async (commands, chunkSizes, dialect) => {
        const bytes = Buffer.concat(commands.map((one) => command(...one)));
        const whole = await adapted([bytes], dialect);
        expect(await adapted(split(bytes, ...chunkSizes), dialect)).toEqual(whole);
        if (Buffer.isBuffer(whole)) decodeChunks([whole]).decoder.end();
      }),
      { numRuns: RUNS },
    );
  });

  it('treats each command by itself', async () => {
    await fc.assert(
      fc.asyncProperty(log, target, async (commands, dialect) => {
        const parts: Buffer[] = [];
        // Times depend on the place in the log.
        for (const one of commands.filter(([first]) => !/expire|setex|restore/.test(first!))) {
          const alone = await adapted([command(...one)], dialect);
          if (!Buffer.isBuffer(alone)) return;
          parts.push(alone);
        }
        const kept = commands.filter(([first]) => !/expire|setex|restore/.test(first!));
        const whole = await adapted(
          kept.map((one) => command(...one)),
          dialect,
        );
        expect(whole).toEqual(Buffer.concat(parts));
      }),
      { numRuns: RUNS },
    );
  });
});
