import { createHash } from 'node:crypto';
import { chmod, link, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SpoolLock } from '../../../../services/archiver/src/ship/spool-lock.ts';
import { Spool } from '../../../../services/archiver/src/ship/spool.ts';
import { inChunks, patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { TempDir } from '../../../support/temp-dir.ts';

let temp: TempDir;
let dir: string;
let spool: Spool;
beforeEach(async () => {
  temp = await TempDir.create();
  dir = join(temp.path, 'spool');
  spool = await Spool.open(dir, 1_000_000);
});
afterEach(() => temp[Symbol.asyncDispose]());

const files = async (): Promise<string[]> => (await readdir(dir)).sort();

describe('Spool', () => {
  it('gives back what was written, from parts and from a stream', async () => {
    const bytes = patternBytes(300_000);
    expect(await spool.write('a', [bytes.subarray(0, 7), bytes.subarray(7)])).toBe(300_000);
    expect(await spool.write('b', inChunks(bytes, 65_536))).toBe(300_000);
    for (const name of ['a', 'b']) {
      expect((await collect(spool.read(name))).equals(bytes)).toBe(true);
    }
    expect(spool.bytes).toBe(600_000);
  });

  it('takes pieces in groups, and more of them than it keeps from the disk', async () => {
    const piece = patternBytes(1_000_000);
    const group = [piece.subarray(0, 3), piece.subarray(3), Buffer.alloc(16, 7)];
    const large = await Spool.open(join(temp.path, 'large'), 100_000_000);
    async function* groups(): AsyncGenerator<readonly Uint8Array[]> {
      for (let at = 0; at < 40; at++) yield await Promise.resolve(group);
    }
    expect(await large.write('a', groups())).toBe(40 * 1_000_016);
    const wanted = createHash('sha256');
    for (let at = 0; at < 40; at++) for (const part of group) wanted.update(part);
    const found = createHash('sha256');
    for await (const part of large.read('a', true)) found.update(part);
    expect(found.digest('hex')).toBe(wanted.digest('hex'));
    expect(large.bytes).toBe(40 * 1_000_016);
  });

  it('never writes into a file that has another name by now', async () => {
    const object = join(temp.path, 'object');
    await spool.write('a', [Buffer.from('first')]);
    await link(spool.fileOf('a'), object);
    await spool.write('a', [Buffer.from('second try')]);
    expect(await readFile(object, 'utf8')).toBe('first');
    expect((await collect(spool.read('a'))).toString()).toBe('second try');
    async function* failing(): ByteSource {
      yield await Promise.resolve(Buffer.from('third'));
      throw new Error('lost');
    }
    await link(spool.fileOf('a'), `${object}-2`);
    await expect(spool.write('a', failing())).rejects.toThrow('lost');
    expect(await readFile(`${object}-2`, 'utf8')).toBe('second try');
  });

  it('lets others neither look into its folder nor into its files', async () => {
    await spool.write('a', [Buffer.from('x')]);
    await spool.note('a', '{}');
    const modes = ['', 'a.sealed', 'a.json'].map(
      async (name) => (await stat(join(dir, name))).mode,
    );
    expect((await Promise.all(modes)).map((mode) => mode & 0o777)).toEqual([0o700, 0o600, 0o600]);
  });

  it('lists finished entries in their order, also after it was opened anew', async () => {
    const [first, second, third] = [spool.nextName(), spool.nextName(), spool.nextName()];
    for (const name of [second, first, 'snapshot-bk', 'unfinished']) {
      await spool.write(name, [Buffer.from(name)]);
    }
    for (const name of ['snapshot-bk', second, first]) await spool.note(name, `note ${name}`);
    await spool.noteAlone(third, 'an event');
    const wanted = [first, second, third, 'snapshot-bk'];
    expect(await spool.names()).toEqual(wanted);
    const again = await Spool.open(dir, 1_000_000);
    expect(await again.names()).toEqual(wanted);
    expect(again.bytes).toBe(2 * first.length + 'snapshot-bk'.length);
    expect(await again.readNote(first)).toBe(`note ${first}`);
    expect(await again.readNote(third)).toBe('an event');
    expect(await again.readNote('none')).toBeNull();
    expect(again.nextName() > third).toBe(true);
  });

  it('gives no name twice while an entry has it', async () => {
    const name = spool.nextName();
    await spool.noteAlone(name, 'an event');
    const again = await Spool.open(dir, 1_000_000);
    expect(again.nextName()).not.toBe(name);
    await again.remove(name);
    expect(await again.names()).toEqual([]);
  });

  it('sweeps what was never finished when it is opened, and nothing else', async () => {
    await spool.write('whole', [Buffer.from('x')]);
    await spool.note('whole', '{}');
    await spool.write('torn', [Buffer.from('half')]);
    await writeFile(join(dir, 'alone.json'), '{}');
    await writeFile(join(dir, 'whole.json.tmp'), '{');
    await writeFile(join(dir, 'event.note.tmp'), '{');
    await spool.noteAlone('event', '{}');
    await writeFile(join(dir, 'README'), 'not ours');
    await Spool.open(dir, 1_000_000);
    expect(await files()).toEqual(['README', 'event.note', 'whole.json', 'whole.sealed']);
  });

  it('takes an object out, note first, and has its room again', async () => {
    await spool.write('a', [Buffer.alloc(900_000)]);
    await spool.note('a', '{}');
    await expect(spool.write('b', [Buffer.alloc(200_000)])).rejects.toMatchObject({
      code: 'TM_SPOOL',
    });
    await spool.remove('a');
    await spool.remove('a');
    expect([await files(), spool.bytes]).toEqual([[], 0]);
    await spool.write('b', [Buffer.alloc(200_000)]);
  });

  it('refuses what goes over its limit, at the first part that does, and leaves nothing', async () => {
    let pulled = 0;
    async function* endless(): ByteSource {
      for (;;) {
        pulled += 1;
        yield await Promise.resolve(Buffer.alloc(300_000));
      }
    }
    await expect(spool.write('a', endless())).rejects.toMatchObject({
      code: 'TM_SPOOL',
      context: { bytes: 900_000, bytesMax: 1_000_000 },
    });
    expect([pulled, await files(), spool.bytes]).toEqual([4, [], 0]);
  });

  it('takes a segment that is alone whatever its size, so that the log goes on', async () => {
    const [first, second] = [spool.nextName(), spool.nextName()];
    expect(await spool.write(first, inChunks(patternBytes(1_200_000), 65_536))).toBe(1_200_000);
    await expect(spool.write(second, [Buffer.alloc(1)])).rejects.toMatchObject({
      code: 'TM_SPOOL',
    });
    await spool.remove(first);
    expect(await spool.write(second, inChunks(patternBytes(1_200_000), 65_536))).toBe(1_200_000);
  });

  it('does not pull again what did not fit, until something was taken out', async () => {
    await spool.write('other', [Buffer.alloc(900_000)]);
    let pulls = 0;
    const large = async function* (): ByteSource {
      pulls += 1;
      yield await Promise.resolve(Buffer.alloc(200_000));
    };
    const full = { code: 'TM_SPOOL' };
    await expect(spool.write('a', large())).rejects.toMatchObject(full);
    await expect(spool.write('a', large())).rejects.toMatchObject(full);
    expect(pulls).toBe(1);
    await spool.remove('other');
    expect(await spool.write('a', large())).toBe(200_000);
  });

  it('leaves a disk alone that is nearly full', async () => {
    const careful = await Spool.open(dir, 1_000_000, Number.MAX_SAFE_INTEGER);
    await expect(careful.write('a', [Buffer.from('x')])).rejects.toMatchObject({
      code: 'TM_SPOOL',
      context: { freeBytesMin: Number.MAX_SAFE_INTEGER },
    });
    expect(await files()).toEqual([]);
  });

  it('leaves nothing of a source that failed, and passes its error on', async () => {
    const fault = new Error('the base is damaged');
    async function* failing(): ByteSource {
      yield await Promise.resolve(Buffer.alloc(1000));
      throw fault;
    }
    await expect(spool.write('a', failing())).rejects.toBe(fault);
    expect([await files(), spool.bytes]).toEqual([[], 0]);
  });

  it('calls a fault of the disk by its name', async () => {
    await mkdir(join(dir, 'a.sealed'));
    await mkdir(join(dir, 'a.json.tmp'));
    await expect(spool.write('a', [Buffer.from('x')])).rejects.toMatchObject({ code: 'TM_SPOOL' });
    await expect(spool.note('a', '{}')).rejects.toMatchObject({ code: 'TM_SPOOL' });
  });

  it('writes an object again under its name and counts it once', async () => {
    await spool.write('a', [Buffer.from('a longer first try')]);
    await spool.write('a', [Buffer.from('second')]);
    expect((await collect(spool.read('a'))).toString()).toBe('second');
    expect(spool.bytes).toBe(6);
  });
});

describe('SpoolLock', () => {
  it('is held by one at a time, and free again when it is let go', async () => {
    const path = join(temp.path, 'lock.db');
    {
      using lock = new SpoolLock(path);
      expect(lock).toBeDefined();
      expect(() => new SpoolLock(path)).toThrow(expect.objectContaining({ code: 'TM_LOG_OWNER' }));
    }
    using again = new SpoolLock(path);
    expect(again).toBeDefined();
    await chmod(path, 0o600);
  });
});
