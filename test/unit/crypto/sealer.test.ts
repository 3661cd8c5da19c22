import { bytesOf, collectBytes } from '@tidemark/core';
import {
  COMPRESSION,
  OBJECT_KIND,
  Opener,
  SealedDigest,
  Sealer,
  openBytes,
  openStream,
  parseSealedHeader,
  plainSizeOf,
  sealBytes,
  sealPieces,
  sealStream,
  sealedSizeOf,
  verifySealedHeader,
  wipeDataKey,
  type DataKey,
  type SealOptions,
} from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';
import { ObjectKeys } from '../../../libs/crypto/src/container/key-schedule.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { inChunks, patternBytes } from '../../support/pattern.ts';
import { xorNonce } from '../../support/sealed-builder.ts';

const dataKey: DataKey = { id: '0f'.repeat(16), key: patternBytes(32, 5) };
const identity = { iid: 'orders', start: '12' };
const keyOf = () => dataKey;
const ask = { keyOf, kind: OBJECT_KIND.segment, identity };

function optionsOf(change: Partial<SealOptions> = {}): SealOptions {
  return {
    dataKey,
    kind: OBJECT_KIND.segment,
    compression: COMPRESSION.zstd,
    identity,
    random: seededRandom('sealer'),
    ...change,
  };
}

function refusal(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return 'no error';
}

describe('Sealer', () => {
  it('uses 256 KiB chunks, and 1 MiB for snapshots', () => {
    const log2Of = (options: SealOptions): unknown =>
      parseSealedHeader(new Sealer(options).begin());
    expect(log2Of(optionsOf())).toMatchObject({ chunkLog2: 18, compression: 3, kind: 2 });
    const snapshot = log2Of(optionsOf({ kind: OBJECT_KIND.snapshot }));
    expect(snapshot).toMatchObject({ chunkLog2: 20 });
  });

  it('seals the same bytes under another salt to other bytes', () => {
    const random = seededRandom('salts');
    const first = sealBytes(Buffer.from('x'), optionsOf({ random }));
    const second = sealBytes(Buffer.from('x'), optionsOf({ random }));
    expect(first.bytes.subarray(64).equals(second.bytes.subarray(64))).toBe(false);
    expect(first.digest).not.toBe(second.digest);
  });

  it('counts its size and names its digest after the end only', () => {
    const sealer = new Sealer(optionsOf({ chunkLog2: 12 }));
    let bytes = sealer.begin().length;
    expect(sealer.size).toBe(bytes);
    for (const piece of sealer.push(patternBytes(10_000))) bytes += piece.length;
    expect(sealer.size).toBe(bytes);
    expect(refusal(() => sealer.digest())).toMatchObject({ code: 'TM_USAGE' });
    for (const piece of sealer.end()) bytes += piece.length;
    expect(sealer.size).toBe(bytes);
    expect(bytes).toBe(sealedSizeOf(10_000, { identity, chunkLog2: 12 }));
    expect(sealer.digest()).toMatch(/^[0-9a-f]{64}$/);
  });

  it('refuses calls out of order', () => {
    const early = new Sealer(optionsOf());
    expect(refusal(() => early.push(Buffer.from('x')))).toMatchObject({ code: 'TM_USAGE' });
    early.begin();
    expect(refusal(() => early.begin())).toMatchObject({ code: 'TM_USAGE' });
    early.end();
    expect(refusal(() => early.end())).toMatchObject({ code: 'TM_USAGE' });
    expect(refusal(() => early.push(Buffer.from('x')))).toMatchObject({ code: 'TM_USAGE' });
  });

  it.each<Partial<SealOptions>>([
    { chunkLog2: 11 },
    { chunkLog2: 23 },
    { chunkLog2: 12.5 },
    { compression: 4 },
    { dataKey: { id: 'xyz', key: dataKey.key } },
    { dataKey: { id: dataKey.id, key: Buffer.alloc(16) } },
    { identity: { 'a b': '1' } },
    { identity: { a: '\ud800' } },
  ])('refuses options outside the format: %j', (change) => {
    expect(refusal(() => new Sealer(optionsOf(change)))).toMatchObject({ code: 'TM_USAGE' });
  });

  it('refuses an identity over a limit', () => {
    const many = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v']));
    for (const wide of [many, { key: 'v'.repeat(1025) }, { ['n'.repeat(64)]: 'ü'.repeat(513) }]) {
      const error = refusal(() => new Sealer(optionsOf({ identity: wide })));
      expect(error).toMatchObject({ code: 'TM_SEAL_LIMIT' });
    }
  });

  it('needs the data key only while it is made', () => {
    const own: DataKey = { id: dataKey.id, key: Buffer.from(dataKey.key) };
    const sealer = new Sealer(optionsOf({ dataKey: own }));
    wipeDataKey(own);
    expect(own.key.equals(Buffer.alloc(32))).toBe(true);
    const pieces = [sealer.begin(), ...sealer.push(Buffer.from('kept')), ...sealer.end()];
    expect(openBytes(Buffer.concat(pieces), ask).toString()).toBe('kept');
  });

  it('leaves the pushed buffer alone and does not look at it later', () => {
    const sealer = new Sealer(optionsOf({ chunkLog2: 12 }));
    const pieces = [sealer.begin()];
    const buffer = Buffer.alloc(5000);
    for (let value = 1; value <= 5; value++) pieces.push(...sealer.push(buffer.fill(value)));
    expect(buffer.equals(Buffer.alloc(5000, 5))).toBe(true);
    pieces.push(...sealer.end());
    const parts = [1, 2, 3, 4, 5].map((value) => Buffer.alloc(5000, value));
    expect(openBytes(Buffer.concat(pieces), ask).equals(Buffer.concat(parts))).toBe(true);
  });
});

describe('Opener', () => {
  const { bytes } = sealBytes(patternBytes(9000), optionsOf({ chunkLog2: 12 }));

  it('shows the header once it is proven and not before', () => {
    const opener = new Opener(ask);
    opener.push(bytes.subarray(0, 100));
    expect(opener.header).toBeNull();
    opener.push(bytes.subarray(100, 300));
    expect(opener.header).toMatchObject({ identity, dekId: dataKey.id, compression: 3 });
    const stranger = new Opener({ ...ask, identity: { ...identity, start: '13' } });
    const error = refusal(() => stranger.push(bytes));
    const context = { field: 'start', expected: '13', actual: '12' };
    expect(error).toMatchObject({ code: 'TM_SEAL_IDENTITY', context });
    expect(stranger.header).toBeNull();
  });

  it('asks for the key only after kind and identity have held', () => {
    const noKey = (): DataKey => {
      throw new Error('asked for a key');
    };
    const other = { keyOf: noKey, kind: OBJECT_KIND.snapshot, identity };
    expect(refusal(() => openBytes(bytes, other))).toMatchObject({ code: 'TM_SEAL_IDENTITY' });
  });

  it('throws the same error at every later call', () => {
    const opener = new Opener(ask);
    const changed = Buffer.from(bytes);
    changed[5000] = (changed[5000] ?? 0) ^ 1;
    const first = refusal(() => opener.push(changed));
    expect(first).toMatchObject({ code: 'TM_SEAL_CHUNK', context: { chunk: 1 } });
    expect(refusal(() => opener.push(bytes))).toBe(first);
    expect(refusal(() => opener.end())).toBe(first);
    expect(refusal(() => opener.digest())).toMatchObject({ code: 'TM_USAGE' });
  });

  it('names chunk number and byte position of damage', () => {
    const { header, chunkBytes } = { header: 100 + 4 + 3 + 6 + 4 + 5 + 2, chunkBytes: 4112 };
    const changed = Buffer.from(bytes);
    changed[bytes.length - 1] = (changed[bytes.length - 1] ?? 0) ^ 1;
    expect(refusal(() => openBytes(changed, ask))).toMatchObject({
      context: { chunk: 2, offset: header + 2 * chunkBytes },
    });
  });

  it('refuses a key of another id as wrong, not as damage', () => {
    const keyOfOther = () => ({ ...dataKey, id: 'ee'.repeat(16) });
    const error = refusal(() => openBytes(bytes, { ...ask, keyOf: keyOfOther }));
    expect(error).toMatchObject({ code: 'TM_KEY_WRONG', exitCode: 12 });
  });
});

describe('sealStream() and openStream()', () => {
  it('give back what went in, in pieces of one chunk', async () => {
    const plain = patternBytes(70_001);
    const sealer = new Sealer(optionsOf({ chunkLog2: 14 }));
    const opener = new Opener(ask);
    const sizes: number[] = [];
    const opened: Buffer[] = [];
    async function* counted() {
      for await (const piece of sealStream(inChunks(plain, 10_007), sealer)) {
        sizes.push(piece.length);
        yield piece;
      }
    }
    for await (const piece of openStream(counted(), opener)) opened.push(piece);
    expect(Buffer.concat(opened).equals(plain)).toBe(true);
    expect(sizes.slice(1, 4)).toEqual([16_400, 16_400, 16_400]);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(sealer.size);
    expect(opener.digest()).toBe(sealer.digest());
  });

  it('give the same bytes in groups: a chunk and its tag, the header with the first', async () => {
    const plain = patternBytes(40_000);
    const whole = await collectBytes(
      sealStream(inChunks(plain, 9_000), new Sealer(optionsOf({ chunkLog2: 14 }))),
      1e6,
      () => new Error('long'),
    );
    const sealer = new Sealer(optionsOf({ chunkLog2: 14 }));
    const groups: (readonly Buffer[])[] = [];
    for await (const group of sealPieces(inChunks(plain, 9_000), sealer)) groups.push(group);
    const sizes = groups.map((group) => group.slice(-2).map(({ length }) => length));
    expect(sizes.flat()).toEqual([16_384, 16, 16_384, 16, 7_232, 16]);
    expect(groups.map(({ length }) => length)).toEqual([3, 2, 2]);
    const bytes = Buffer.concat(groups.flat());
    expect([bytes.length, sealer.size]).toEqual([whole.length, whole.length]);
    expect(openBytes(bytes, ask).equals(plain)).toBe(true);
  });

  it('make an object out of an empty stream', async () => {
    const sealer = new Sealer(optionsOf());
    const sealed = await collectBytes(sealStream(bytesOf(), sealer), 1e4, () => new Error('long'));
    expect(sealed.length).toBe(sealedSizeOf(0, { identity }));
    expect(openBytes(sealed, ask).length).toBe(0);
  });

  it('zero-fill and refuse more when the source fails', async () => {
    const sealer = new Sealer(optionsOf());
    async function* failing() {
      yield await Promise.resolve(Buffer.from('x'));
      throw new Error('source failed');
    }
    const run = collectBytes(sealStream(failing(), sealer), 1e6, () => new Error('long'));
    await expect(run).rejects.toThrow('source failed');
    expect(refusal(() => sealer.end())).toMatchObject({ code: 'TM_USAGE' });
  });

  it('do not end a stream well that was cut at a chunk edge', async () => {
    const { bytes } = sealBytes(patternBytes(4096), optionsOf({ chunkLog2: 12 }));
    const cut = bytes.subarray(0, bytes.length - 16);
    let released = 0;
    const run = async (): Promise<void> => {
      for await (const piece of openStream(bytesOf(cut), new Opener(ask))) released += piece.length;
    };
    await expect(run()).rejects.toMatchObject({ code: 'TM_SEAL_TRUNCATED' });
    expect(released).toBe(4096); // whole chunks were proven one by one; the end was not
  });
});

describe('verifySealedHeader()', () => {
  const header = parseSealedHeader(sealBytes(Buffer.from('x'), optionsOf()).bytes);
  if (typeof header === 'number') throw new Error('the header is whole');

  it('proves kind, identity and key without a chunk', () => {
    verifySealedHeader({ header, kind: OBJECT_KIND.segment, identity, dataKey });
    const run = (change: object) => () =>
      verifySealedHeader({ header, kind: OBJECT_KIND.segment, identity, dataKey, ...change });
    const other = { ...dataKey, key: patternBytes(32, 6) };
    expect(refusal(run({ kind: OBJECT_KIND.spool }))).toMatchObject({ code: 'TM_SEAL_IDENTITY' });
    expect(refusal(run({ identity: {} }))).toMatchObject({ code: 'TM_SEAL_IDENTITY' });
    expect(refusal(run({ dataKey: other }))).toMatchObject({ code: 'TM_SEAL_COMMITMENT' });
  });
});

describe('ObjectKeys.nonceOf()', () => {
  it('is the base nonce XOR the chunk number in 48 bits', () => {
    const keys = new ObjectKeys(dataKey, patternBytes(64, 9), Buffer.alloc(0));
    const base = Buffer.from(keys.nonceOf(0));
    for (const chunk of [1, 255, 256, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 3, 2 ** 48 - 1]) {
      expect(keys.nonceOf(chunk).toString('hex')).toBe(xorNonce(base, chunk).toString('hex'));
    }
  });
});

describe('sizes', () => {
  const longest = {
    iid: 'i'.repeat(63),
    writer: 'w'.repeat(26),
    timeline: 't'.repeat(26),
    start: '9'.repeat(20),
    kind: 'mergedLevel',
    key: 'k'.repeat(160),
  };

  it.each([OBJECT_KIND.segment, OBJECT_KIND.snapshot])(
    'kind %i adds at most 0.1 %% from 1 MiB and at most 700 bytes below',
    (kind) => {
      const chunkLog2 = kind === OBJECT_KIND.snapshot ? 20 : 18;
      for (const plainSize of [0, 1, 1000, 2 ** 18 - 1, 2 ** 18, 2 ** 20 - 1]) {
        const options = optionsOf({ kind, identity: longest });
        const sealedSize = sealBytes(Buffer.alloc(plainSize), options).bytes.length;
        expect(sealedSize).toBe(sealedSizeOf(plainSize, { identity: longest, chunkLog2 }));
        expect(sealedSize - plainSize).toBeLessThanOrEqual(700);
      }
      for (let plainSize = 2 ** 20; plainSize <= 2 ** 40; plainSize *= 2) {
        const added = sealedSizeOf(plainSize, { identity: longest, chunkLog2 }) - plainSize;
        expect(added / plainSize).toBeLessThanOrEqual(0.001);
      }
    },
  );

  it('plainSizeOf() is the way back, and refuses sizes that no object has', () => {
    const header = { chunkLog2: 12, headerLength: 130 };
    const bare = { identity: { k: 'v'.repeat(25) }, chunkLog2: 12 };
    const reachable = new Set<number>();
    for (let plainSize = 0; plainSize < 3 * 4096 + 50; plainSize++) {
      const sealedSize = sealedSizeOf(plainSize, bare);
      reachable.add(sealedSize);
      expect(plainSizeOf(sealedSize, header)).toBe(plainSize);
    }
    for (let sealedSize = 0; sealedSize < 130 + 3 * 4112; sealedSize++) {
      if (reachable.has(sealedSize)) continue;
      const error = refusal(() => plainSizeOf(sealedSize, header));
      expect(error).toMatchObject({ code: 'TM_SEAL_TRUNCATED' });
    }
    expect(refusal(() => sealedSizeOf(-1, bare))).toMatchObject({ code: 'TM_USAGE' });
  });
});

describe('SealedDigest', () => {
  const { bytes, digest } = sealBytes(patternBytes(9000), optionsOf({ chunkLog2: 12 }));

  it('gives the digest of the sealing for any split', () => {
    for (const size of [1, 7, 15, 16, 17, 4112, 20_000]) {
      const keyless = new SealedDigest();
      for (let at = 0; at < bytes.length; at += size) keyless.push(bytes.subarray(at, at + size));
      expect(keyless.end()).toBe(digest);
    }
  });

  it('tells a cut, extended or relabelled object apart', () => {
    const digestOf = (sealed: Buffer): unknown => {
      const keyless = new SealedDigest();
      try {
        keyless.push(sealed);
        return keyless.end();
      } catch (error) {
        return error;
      }
    };
    const relabelled = Buffer.from(bytes);
    relabelled[110] = (relabelled[110] ?? 0) ^ 1;
    expect(digestOf(Buffer.concat([bytes, bytes.subarray(-20)]))).not.toBe(digest);
    expect(digestOf(relabelled)).not.toBe(digest);
    for (const length of [0, 50, 120, 4300]) {
      expect(digestOf(bytes.subarray(0, length))).not.toBe(digest);
    }
    expect(digestOf(bytes.subarray(0, 60))).toMatchObject({ code: 'TM_SEAL_TRUNCATED' });
  });

  it('refuses calls after the end', () => {
    const keyless = new SealedDigest();
    keyless.push(bytes);
    keyless.end();
    expect(refusal(() => keyless.end())).toMatchObject({ code: 'TM_USAGE' });
    expect(refusal(() => keyless.push(bytes))).toMatchObject({ code: 'TM_USAGE' });
  });
});
