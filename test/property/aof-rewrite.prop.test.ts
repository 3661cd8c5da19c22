import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rewriteCommandExpiry, type RewriteExpiryOptions } from '@tidemark/aof';
import { bytesOf, collectBytes } from '@tidemark/core';
import { command, decodeChunks, split } from '../support/command-log.ts';

const RUNS = 150;
const T = 5000;

interface Entry {
  readonly value: string;
  readonly expiry: number | null;
}
type Keyspace = Map<string, Entry>;

const key = fc.constantFrom('a', 'b', 'pxat', 'exat');
const value = fc.oneof(
  fc.constantFrom('v', 'PXAT', '*1\r\n', ''),
  fc.integer({ min: 1, max: 400 }).map((length) => 'x'.repeat(length)),
);
const ms = fc.integer({ min: 1, max: 10_000 }).map(String);
const second = fc.integer({ min: 1, max: 10 }).map(String);
const write = fc.oneof(
  fc.tuple(fc.constant('SET'), key, value),
  fc.tuple(fc.constantFrom('SET', 'set'), key, value, fc.constant('PXAT'), ms),
  fc.tuple(fc.constant('SET'), key, value, fc.constant('exat'), second),
  fc.tuple(fc.constant('PEXPIREAT'), key, ms),
  fc.tuple(fc.constant('ExpireAt'), key, second),
  fc.tuple(fc.constant('PERSIST'), key),
  fc.tuple(fc.constant('GETEX'), key, fc.constant('PXAT'), ms),
  fc.tuple(fc.constant('RESTORE'), key, ms, value, fc.constant('ABSTTL')),
  fc.tuple(
    fc.constant('MSETEX'),
    fc.constant('2'),
    key,
    value,
    key,
    value,
    fc.constant('PXAT'),
    ms,
  ),
  fc.tuple(fc.constant('DEL'), key),
);
const writes = fc.array(write, { maxLength: 15 });
const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
const rule = fc.constantFrom<(expiryMs: number) => number | null>(
  (expiryMs) => expiryMs,
  (expiryMs) => expiryMs + 123,
  (expiryMs) => (expiryMs > T ? expiryMs + 100_000 : expiryMs),
  (expiryMs) => (expiryMs > T ? null : expiryMs),
  () => null,
);

const condition = fc.constantFrom([], ['NX'], ['XX'], ['GT'], ['LT'], ['XX', 'GT'], ['XX', 'LT']);
const conditional = fc.array(
  fc.oneof(
    write,
    fc
      .tuple(key, ms, condition)
      .map(([name, at, conditions]) => ['PEXPIREAT', name, at, ...conditions]),
  ),
  { maxLength: 15 },
);
const anyOrder = fc.constantFrom<(expiryMs: number) => number | null>(
  (expiryMs) => (expiryMs > T ? expiryMs - T + 1 : expiryMs),
  (expiryMs) => (expiryMs > T ? expiryMs - 3_000 : expiryMs),
  (expiryMs) => (expiryMs > T ? null : expiryMs),
  (expiryMs) => (expiryMs > T ? expiryMs + 100_000 : expiryMs),
);

/** What a server that freezes expiry would hold after these commands. */
function run(commands: readonly (readonly string[])[]): Keyspace {
  const keys: Keyspace = new Map();
  const expire = (name: string, expiry: number | null): void => {
    const old = keys.get(name);
    if (old !== undefined) keys.set(name, { value: old.value, expiry });
  };
  for (const [name, k = '', ...rest] of commands) {
    const last = Number(rest.at(-1));
    switch (name!.toUpperCase()) {
      case 'SET':
        keys.set(k, { value: rest[0]!, expiry: expiryOf(rest.slice(1)) });
        break;
      case 'MSETEX':
        keys.set(rest[0]!, { value: rest[1]!, expiry: expiryOf(rest.slice(4)) });
        keys.set(rest[2]!, { value: rest[3]!, expiry: expiryOf(rest.slice(4)) });
        break;
      case 'RESTORE':
        keys.set(k, { value: rest[1]!, expiry: rest[0] === '0' ? null : Number(rest[0]) });
        break;
      case 'PEXPIREAT':
        if (holds(keys.get(k), Number(rest[0]), rest.slice(1))) expire(k, Number(rest[0]));
        break;
      case 'EXPIREAT':
        expire(k, last * 1000);
        break;
      case 'GETEX':
        expire(k, expiryOf(rest));
        break;
      case 'PERSIST':
        expire(k, null);
        break;
      case 'DEL':
        keys.delete(k);
        break;
      default:
        throw new Error(`a command that should not be here: ${name}`);
    }
  }
  return keys;
}

/** Whether the conditions of an expiry are met: no expiry counts as the latest. */
function holds(old: Entry | undefined, at: number, conditions: readonly string[]): boolean {
  const had = old?.expiry ?? null;
  return conditions.every((condition) => {
    if (condition === 'NX') return had === null;
    if (condition === 'XX') return had !== null;
    return condition === 'GT' ? had !== null && at > had : had === null || at < had;
  });
}

/** What a server logs of these: commands that took effect. */
function logged(log: readonly (readonly string[])[]): (readonly string[])[] {
  return log.filter(([name, k = '', at, ...conditions], i) => {
    if (name !== 'PEXPIREAT') return true;
    const old = run(log.slice(0, i)).get(k);
    return old !== undefined && holds(old, Number(at), conditions);
  });
}

function expiryOf(options: readonly string[]): number | null {
  if (options.length < 2) return null;
  return Number(options[1]) * (options[0]!.toUpperCase() === 'EXAT' ? 1000 : 1);
}

function rewrite(chunks: readonly Buffer[], options: RewriteExpiryOptions): Promise<Buffer> {
  return collectBytes(rewriteCommandExpiry(bytesOf(...chunks), options), 1e7, () => new Error());
}

const encode = (log: readonly (readonly string[])[]): Buffer =>
  Buffer.concat(log.map((args) => command(...args)));

describe('rewriteCommandExpiry()', () => {
  it('leaves the same dataset with the new expiries, however little is held back', async () => {
    await fc.assert(
      fc.asyncProperty(writes, sizes, rule, fc.boolean(), async (log, cut, newExpiry, tight) => {
        const options = { newExpiry, ...(tight ? { holdBytesMax: 96 } : {}) };
        const out = await rewrite(split(encode(log), ...cut), options);
        const { commands, decoder } = decodeChunks([out]);
        decoder.end();
        const wanted = [...run(log)].map(([name, entry]): [string, Entry] => [
          name,
          { ...entry, expiry: entry.expiry === null ? null : newExpiry(entry.expiry) },
        ]);
        const got = run(commands.map(({ args }) => args.map((arg) => arg!)));
        expect([...got].sort()).toEqual(wanted.sort());
      }),
      { numRuns: RUNS * 2 },
    );
  });

  it('leaves what took effect in effect, whatever order a rule gives to times', async () => {
    await fc.assert(
      fc.asyncProperty(conditional, sizes, anyOrder, async (all, cut, newExpiry) => {
        const log = logged(all);
        const out = await rewrite(split(encode(log), ...cut), { newExpiry, dropConditions: true });
        const { commands } = decodeChunks([out]);
        const wanted = [...run(log)].map(([name, entry]): [string, Entry] => [
          name,
          { ...entry, expiry: entry.expiry === null ? null : newExpiry(entry.expiry) },
        ]);
        const got = run(commands.map(({ args }) => args.map((arg) => arg!)));
        expect([...got].sort()).toEqual(wanted.sort());
      }),
      { numRuns: RUNS },
    );
  });

  it('writes the same bytes for every cut, and the same as it got when nothing changes', async () => {
    await fc.assert(
      fc.asyncProperty(writes, sizes, rule, async (log, cut, newExpiry) => {
        const bytes = encode(log);
        const whole = await rewrite([bytes], { newExpiry });
        expect(await rewrite(split(bytes, ...cut), { newExpiry })).toEqual(whole);
        expect(await rewrite(split(bytes, ...cut), { newExpiry: (at) => at })).toEqual(bytes);
      }),
      { numRuns: RUNS },
    );
  });
});
