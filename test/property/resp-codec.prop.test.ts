import { RespDecoder, commandArguments, encodeCommand } from '@tidemark/resp';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const commands = fc.array(
  fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 5 }),
  { minLength: 1, maxLength: 8 },
);

describe('RESP codec', () => {
  it('decodes what it encoded, for every split into chunks', () => {
    fc.assert(
      fc.property(
        commands,
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (list, cuts) => {
          const wire = Buffer.concat(list.map((args) => encodeCommand(args)));
          const decoder = new RespDecoder();
          const seen: (readonly Buffer[] | null)[] = [];
          for (let at = 0, i = 0; at < wire.length; i++) {
            const size = cuts[i % cuts.length]!;
            decoder.push(wire.subarray(at, at + size));
            at += size;
            for (let value = decoder.read(); value !== undefined; value = decoder.read()) {
              seen.push(commandArguments(value));
            }
          }
          decoder.end();
          expect(seen).toEqual(list.map((args) => args.map((arg) => Buffer.from(arg))));
          expect(decoder.offset).toBe(wire.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('ends every truncation in TM_RESP_TRUNCATED or between two values', () => {
    fc.assert(
      fc.property(commands, fc.double({ min: 0, max: 1, noNaN: true }), (list, part) => {
        const encoded = list.map((args) => encodeCommand(args));
        const wire = Buffer.concat(encoded);
        const cut = Math.floor(part * wire.length);
        const decoder = new RespDecoder();
        decoder.push(wire.subarray(0, cut));
        while (decoder.read() !== undefined);
        let at = 0;
        const edges = new Set([0, ...encoded.map((bytes) => (at += bytes.length))]);
        if (edges.has(cut)) decoder.end();
        else
          expect(() => decoder.end()).toThrow(
            expect.objectContaining({ code: 'TM_RESP_TRUNCATED' }),
          );
      }),
      { numRuns: 200 },
    );
  });

  it('answers any bytes with values or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoder = new RespDecoder();
        decoder.push(bytes);
        try {
          while (decoder.read() !== undefined);
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^TM_RESP_/) as string });
        }
      }),
      { numRuns: 300 },
    );
  });
});
