import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { patternBytes } from '../support/pattern.ts';
import { TempDir } from '../support/temp-dir.ts';
import {
  bytesAmong,
  harm,
  openWire,
  readAll,
  REPLID_A,
  REPLID_B,
  wireFiles,
} from '../support/wire-spool.ts';

const START = 1_000n;
const PATTERN = patternBytes(2 ** 20);

/** What is done to a spool, one after the other. */
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('append'), size: fc.nat(9_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('append'), size: fc.nat(300_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constantFrom('flush', 'rename', 'reopen', 'read') }),
    },
  ),
  { minLength: 1, maxLength: 14 },
);
type Step = typeof steps extends fc.Arbitrary<(infer T)[]> ? T : never;

/** Does the steps and reads all the while; gives the bytes that were appended. */
async function run(dir: string, fileBytesMax: number, todo: readonly Step[]): Promise<Buffer> {
  let spool = await openWire(dir, { fileBytesMax });
  if (spool.newest === null) await spool.join({ ...H, replid: REPLID_A, offset: START });
  let reader = spool.read(null);
  const seen: Buffer[] = [];
  let [seenBytes, count] = [0, 0];
  const readUpTo = async (end: number): Promise<void> => {
    while (seenBytes < end) {
      const item = await reader.next(AbortSignal.timeout(60_000));
      if (item.kind !== 'bytes') continue;
      seen.push(item.data);
      seenBytes += item.data.length;
    }
  };
  for (const step of todo) {
    if ('size' in step) {
      await spool.append(PATTERN.subarray(count, count + step.size));
      count = Math.min(PATTERN.length, count + step.size);
    } else if (step.do === 'flush') {
      await spool.flush();
    } else if (step.do === 'rename') {
      const isA = spool.newest?.history.replid === REPLID_A;
      await spool.continueAs(isA ? REPLID_B : REPLID_A);
    } else if (step.do === 'read') {
      await readUpTo(count);
    } else {
      await spool[Symbol.asyncDispose]();
      const position = START + BigInt(seenBytes);
      spool = await openWire(dir, { fileBytesMax });
      reader = spool.read({ ...H, position });
    }
    expect(spool.newest?.to).toBe(START + BigInt(count));
  }
  await readUpTo(count);
  await spool[Symbol.asyncDispose]();
  expect(Buffer.concat(seen).equals(PATTERN.subarray(0, count))).toBe(true);
  return PATTERN.subarray(0, count);
}

const H = { seq: 0, ino: '12' };

describe('wire spool', () => {
  it('gives what was appended however it was split, and a prefix of it after any damage', async () => {
    await using temp = await TempDir.create();
    let round = 0;
    const damage = fc.record({
      what: fc.constantFrom('cut' as const, 'flip' as const, 'grow' as const),
      file: fc.nat(20),
      at: fc.nat(400_000),
    });
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.constantFrom(1, 5_000, 2 ** 26),
        fc.array(damage, { minLength: 1, maxLength: 2 }),
        async (todo, fileBytesMax, damages) => {
          const dir = join(temp.path, String(round++));
          await mkdir(dir);
          const appended = await run(dir, fileBytesMax, todo);
          for (const { what, file, at } of damages) {
            const files = await wireFiles(dir, 'stream');
            await harm(files[file % files.length]!, what, at);
          }
          await using spool = await openWire(dir, { fileBytesMax });
          const to = spool.newest?.to ?? START;
          const kept = bytesAmong(await readAll(spool.read(null)));
          expect(START + BigInt(kept.length)).toBe(to);
          expect(kept.equals(appended.subarray(0, kept.length))).toBe(true);
          if (damages.every(({ what }) => what === 'grow'))
            expect(kept.length).toBe(appended.length);
          if (spool.newest === null) await spool.join({ ...H, replid: REPLID_A, offset: START });
          await spool.append(appended.subarray(kept.length));
          await spool.flush();
          const whole = bytesAmong(await readAll(spool.read(null)));
          expect(whole.equals(appended)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
