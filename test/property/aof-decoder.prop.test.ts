import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TidemarkError } from '@tidemark/core';
import { command, decodeChunks, split, type Decoded } from '../support/command-log.ts';

const RUNS = 150;

const argument = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
const ordinary = fc
  .tuple(fc.constantFrom('SET', 'del', 'HSet', 'unknown', ''), fc.array(argument, { maxLength: 5 }))
  .map(([name, args]) => [Buffer.from(name), ...args]);
const steering = fc
  .constantFrom(['MULTI'], ['EXEC'], ['SELECT', '7'], ['select', '0'])
  .map((args) => args.map((arg) => Buffer.from(arg)));
const annotation = fc.nat(2_000_000_000).map((second) => `#TS:${second}\r\n`);

/** Commands (arguments) and annotations (text) in the order of the log. */
const entries = fc.array(
  fc.oneof({ weight: 6, arbitrary: ordinary }, { weight: 2, arbitrary: steering }, annotation),
  { maxLength: 12 },
);
type Entry = Buffer[] | string;
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });

const encode = (entry: Entry): Buffer =>
  typeof entry === 'string' ? Buffer.from(entry) : command(...entry);
const encodeAll = (log: readonly Entry[]): Buffer => Buffer.concat(log.map(encode));
const facts = ({ commands, raw, marks, decoder }: Decoded): unknown => ({
  commands,
  raw,
  marks,
  state: [decoder.offset, decoder.boundary, decoder.commandEnd, decoder.partialBytes],
  next: [decoder.db, decoder.inMulti],
});

/** What decoding ends in: everything it said, or its error. */
function outcome(chunks: readonly Buffer[]): unknown {
  try {
    const decoded = decodeChunks(chunks);
    decoded.decoder.end();
    return facts(decoded);
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return { code: error.code, context: error.context };
  }
}

describe('CommandDecoder', () => {
  it('decodes what was encoded', () => {
    fc.assert(
      fc.property(entries, sizes, (log, cut) => {
        const decoded = decodeChunks(split(encodeAll(log), ...cut));
        decoded.decoder.end();
        const wanted = log.filter((entry) => typeof entry !== 'string');
        expect(decoded.commands.map(({ args }) => args)).toEqual(
          wanted.map((args) => args.map((arg) => arg.toString('latin1'))),
        );
        expect(decoded.raw).toEqual(encodeAll(wanted));
        let offset = 0n;
        for (const [index, args] of wanted.entries()) {
          const { start, end } = decoded.commands[index]!;
          expect([start, end]).toEqual([offset, offset + BigInt(command(...args).length)]);
          offset = end;
        }
        const seconds = log.filter((entry) => typeof entry === 'string');
        expect(decoded.marks.map(({ second }) => `#TS:${second}\r\n`)).toEqual(seconds);
      }),
      { numRuns: RUNS },
    );
  });

  it('says the same of every cut into chunks', () => {
    fc.assert(
      fc.property(entries, sizes, (log, cut) => {
        const bytes = encodeAll(log);
        const whole = facts(decodeChunks([bytes]));
        expect(facts(decodeChunks(split(bytes, ...cut)))).toEqual(whole);
        expect(facts(decodeChunks(split(bytes, 1)))).toEqual(whole);
      }),
      { numRuns: RUNS },
    );
  });

  it('ends every truncation in TM_AOF_TRUNCATED, or after a whole record', () => {
    fc.assert(
      fc.property(entries, sizes, fc.nat(), (log, cut, at) => {
        const bytes = encodeAll(log);
        const length = at % (bytes.length + 1);
        const ends = new Set([0]);
        let end = 0;
        for (const entry of log) ends.add((end += encode(entry).length));
        const decoded = decodeChunks(split(bytes.subarray(0, length), ...cut));
        if (ends.has(length)) decoded.decoder.end();
        else {
          expect(() => decoded.decoder.end()).toThrow(
            expect.objectContaining({ code: 'TM_AOF_TRUNCATED' }),
          );
        }
      }),
      { numRuns: RUNS * 2 },
    );
  });

  it('takes or refuses a changed byte alike, at the same offset, for every cut', () => {
    fc.assert(
      fc.property(entries, sizes, fc.nat(), fc.nat(255), (log, cut, at, value) => {
        const bytes = encodeAll([['DEL', 'first'].map((arg) => Buffer.from(arg)), ...log]);
        bytes[at % bytes.length] = value;
        const whole = outcome([bytes]);
        expect(outcome(split(bytes, ...cut))).toEqual(whole);
        expect(outcome(split(bytes, 1))).toEqual(whole);
      }),
      { numRuns: RUNS * 3 },
    );
  });

  it('never hangs or crashes on bytes that look like a log', () => {
    const token = fc.constantFrom('*', '$', '#', '\r\n', '\n', '0', '1', '3', '9', 'SET', '-', '=');
    fc.assert(
      fc.property(fc.array(token, { maxLength: 40 }), sizes, (tokens, cut) => {
        const bytes = Buffer.from(tokens.join(''));
        expect(outcome(split(bytes, ...cut))).toEqual(outcome([bytes]));
      }),
      { numRuns: RUNS * 3 },
    );
  });
});
