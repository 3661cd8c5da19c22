import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileBytes } from '../../../../services/archiver/src/ship/file-bytes.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;

let temp: TempDir;
let path: string;
beforeEach(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'base.rdb');
});
afterEach(() => temp[Symbol.asyncDispose]());

describe('fileBytes()', () => {
  it.each([0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 5])(
    'gives the %i bytes of a file, twice',
    async (length) => {
      const bytes = patternBytes(length);
      await writeFile(path, bytes);
      const open = fileBytes(path);
      for (let time = 0; time < 2; time++) {
        expect((await collect(open(never))).equals(bytes)).toBe(true);
      }
    },
  );

  it.each([0, 1, MIB, MIB + 7, 2 * MIB])('ends after %i bytes when it is told to', async (max) => {
    const bytes = patternBytes(2 * MIB + 3);
    await writeFile(path, bytes);
    expect((await collect(fileBytes(path, max)(never))).equals(bytes.subarray(0, max))).toBe(true);
  });

  it('keeps a chunk as it is until the next one is asked for', async () => {
    const bytes = patternBytes(5 * MIB);
    await writeFile(path, bytes);
    let at = 0;
    for await (const chunk of fileBytes(path)(never)) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(Buffer.compare(chunk, bytes.subarray(at, at + chunk.length))).toBe(0);
      at += chunk.length;
    }
    expect(at).toBe(bytes.length);
  });

  it('can be left in the middle, and stops when it is told to', async () => {
    await writeFile(path, patternBytes(4 * MIB));
    for await (const chunk of fileBytes(path)(never)) {
      expect(chunk.length).toBe(MIB);
      break;
    }
    const stop = new AbortController();
    const run = async (): Promise<void> => {
      for await (const _ of fileBytes(path)(stop.signal)) stop.abort(new Error('enough'));
    };
    await expect(run()).rejects.toThrow('enough');
  });

  it('says that a base is gone, and not that the spool failed', async () => {
    await expect(collect(fileBytes(path)(never))).rejects.toMatchObject({ code: 'TM_AOF_DIR' });
    await expect(collect(fileBytes(temp.path)(never))).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
