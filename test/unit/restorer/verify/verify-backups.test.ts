import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isInSample, partsOf } from '../../../../services/restorer/src/verify/sample.ts';
import { DamageBench } from '../../../support/damage/damage-bench.ts';
import { TempDir } from '../../../support/temp-dir.ts';

let dir: TempDir;
let bench: DamageBench;
beforeAll(async () => {
  dir = await TempDir.create('tidemark-verify-');
  bench = await DamageBench.build('verify', dir.path);
});
afterAll(() => dir[Symbol.asyncDispose]());

type Change = (bytes: Buffer, key: string) => Buffer | null;

/** Bytes with one bit of the byte at a place changed. */
function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(at) ^ 0x20, at);
  return changed;
}

const flip: Change = (bytes) => flipped(bytes, bytes.length - 40);
/** Another data key id in the header of a container, or key id in a wrapped key. */
const wrongKey: Change = (bytes) => flipped(bytes, bytes[0] === 0x7b ? 40 : 20);

const DAMAGES: readonly (readonly [string, RegExp, Change])[] = [
  ['missing object', /\/(seg|rdb)\//, () => null],
  ['object of size zero', /\/(seg|rdb)\//, () => Buffer.alloc(0)],
  ['short object', /\/(seg|rdb)\//, (bytes) => bytes.subarray(0, -1)],
  ['long object', /\/(seg|rdb)\//, (bytes) => Buffer.concat([bytes, Buffer.of(0)])],
  ['flipped bit', /\/(seg|rdb|log)\//, flip],
  ['swapped object', /\/(seg|rdb)\//, (_, key) => bench.store.objects.get(otherThan(key))!],
  ['wrong key id', /\/(seg|rdb)\/|v1\/keys\//, wrongKey],
  ['missing key object', /v1\/keys\//, () => null],
  ['gap in a chain', /w-tiny\/log\/0*[25]$/, () => null],
];

function otherThan(key: string): string {
  const folder = key.includes('/rdb/') ? '/rdb/' : '/seg/';
  return bench.store.keys().find((other) => other.includes(folder) && other !== key)!;
}

/** Runs work on a store in which one object is damaged. */
async function damaged(key: string, change: Change, work: () => Promise<void>): Promise<void> {
  const bytes = bench.store.objects.get(key)!;
  bench.store.tamper(key, change(bytes, key));
  try {
    await work();
  } finally {
    bench.store.tamper(key, bytes);
  }
}

describe('verifyBackups()', () => {
  it('finds a whole archive whole, and reads all of it', async () => {
    const found = await bench.verify();
    expect(found).toMatchObject({ instances: 1, objects: 6, faultCount: 0, shredded: 0 });
    const sealed = bench.archive.bodies.map(({ key, start }) => {
      return bench.store.objects.get(key)!.length - start;
    });
    expect(found.bytes).toBe(sealed.reduce((sum, size) => sum + size, 0));
  });

  it.each(DAMAGES)('finds every %s and names it', async (_, which, change) => {
    const keys = bench.store.keys().filter((key) => which.test(key));
    expect(keys.length).toBeGreaterThan(1);
    for (const key of keys) {
      await damaged(key, change, async () => {
        const { faults, objects } = await bench.verify();
        expect(faults.map(({ message }) => message).join('\n')).toContain(key);
        for (const { exitCode } of faults) expect([12, 14]).toContain(exitCode);
        // With 12 alone and nothing opened it would be taken for a wrong ring.
        const isDamage = objects > 0 || faults.some(({ exitCode }) => exitCode === 14);
        expect(isDamage, key).toBe(true);
      });
    }
  });

  it.each(DAMAGES)(
    'a sample finds a %s in as many runs as it has parts',
    async (_, which, change) => {
      const parts = partsOf(0.3);
      expect(parts).toBe(4);
      for (const key of bench.store.keys().filter((each) => which.test(each))) {
        await damaged(key, change, async () => {
          let runs = 0;
          let found = 0;
          for (; runs < parts && found === 0; runs++) {
            found = (await bench.verify({ sample: { part: runs, parts } })).faultCount;
          }
          expect(found, `${key} after ${runs} runs`).toBeGreaterThan(0);
        });
      }
    },
  );

  it('a sample reads each object in one of its runs, and none in two', async () => {
    let [objects, bytes] = [0, 0];
    for (let part = 0; part < 5; part++) {
      const found = await bench.verify({ sample: { part, parts: 5 } });
      expect(found.faultCount).toBe(0);
      objects += found.objects;
      bytes += found.bytes;
    }
    expect({ objects, bytes }).toEqual(pick(await bench.verify()));
  });

  it('of one backup reads that and no other object', async () => {
    const from = bench.store.calls.length;
    expect(await bench.verify({ backup: 'bk-2' })).toMatchObject({ objects: 1, faultCount: 0 });
    const read = bench.store.calls.slice(from).filter(({ op }) => op === 'get');
    const data = read.filter(({ key }) => /\/(rdb|seg)\//.test(key)).map(({ key }) => key);
    expect(data.length).toBeGreaterThan(0);
    expect(data.filter((key) => !key.endsWith('rdb/bk-2'))).toEqual([]);
  });

  it('knows no backup that the log does not name, and no instance that is not there', async () => {
    const missing = { code: 'TM_NOT_FOUND', exitCode: 10 };
    await expect(bench.verify({ backup: 'bk-3' })).rejects.toMatchObject(missing);
    await expect(bench.verify({ instance: 'other' })).rejects.toMatchObject(missing);
  });
});

function pick({ objects, bytes }: { objects: number; bytes: number }): object {
  return { objects, bytes };
}

describe('partsOf() and isInSample()', () => {
  it('gives as many runs as the share needs', () => {
    expect([1, 0.5, 0.05, 0.34].map(partsOf)).toEqual([1, 2, 20, 3]);
    for (const share of [0, -1, 1.1, NaN, 0.000001]) {
      expect(() => partsOf(share)).toThrow(expect.objectContaining({ code: 'TM_USAGE' }) as Error);
    }
  });

  it('puts every object into one part', () => {
    for (let i = 0; i < 500; i++) {
      const parts = Array.from({ length: 7 }, (_, part) => ({ part, parts: 7 }));
      expect(parts.filter((sample) => isInSample(sample, `object ${i}`))).toHaveLength(1);
    }
  });
});
