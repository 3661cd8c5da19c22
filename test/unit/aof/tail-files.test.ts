import {
  appendFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { IncrReader } from '../../../libs/aof/src/tail/incr-reader.ts';
import { LogOff } from '../../../libs/aof/src/tail/log-off.ts';
import { overLimits } from '../../../libs/aof/src/tail/pin-limits.ts';
import { formatPinName, parsePinName, pinPlace } from '../../../libs/aof/src/tail/pin-names.ts';
import { PinScout } from '../../../libs/aof/src/tail/pin-scout.ts';
import type { PinReport, SeenFile } from '../../../libs/aof/src/tail/seen.ts';
import { TempDir } from '../../support/temp-dir.ts';

const seen = (path: string, type: 'b' | 'i' = 'i', seq = 1): SeenFile => {
  const stat = lstatSync(path, { bigint: true });
  return {
    type,
    seq,
    dev: String(stat.dev),
    ino: String(stat.ino),
    name: 'f',
    size: Number(stat.size),
    path,
    pinned: true,
    fd: null,
    previous: null,
  };
};

describe('pin names', () => {
  it('carry identity and proof through the file system', () => {
    const id = { seq: 7, dev: '65024', ino: '18446744073709551615' };
    const pins = [
      { type: 'b', ...id, previous: null },
      { type: 'i', ...id, previous: null },
      { type: 'i', ...id, previous: { seq: 6, dev: '1', ino: '2' } },
    ] as const;
    for (const pin of pins) expect(parsePinName(formatPinName(pin))).toEqual(pin);
    for (const name of [
      'trial',
      'incr.1.2',
      'incr.1.2.3.after.1.2',
      'base.1.2.3.after.1.2.3',
      '..',
    ]) {
      expect(parsePinName(name)).toBeNull();
    }
  });

  it('keep folders, manifests and owners apart, and owners harmless', () => {
    const place = (dir: string, name: string, owner: string | null): string =>
      pinPlace(dir, name, owner).dir;
    const dirs = [
      place('/r/a/appendonlydir', 'm', null),
      place('/r/a/appendonlydir', 'n', null),
      place('/r/a/Appendonlydir', 'm', null),
      place('/r/a/appendonlydir', 'm', 'w1'),
    ];
    expect(new Set(dirs).size).toBe(4);
    for (const dir of dirs) expect(dir).toMatch(/^\/r\/a\/\.tidemark-pins\/[a-z0-9-]+$/);
    expect(() => place('/r/a', 'm', '../x')).toThrow(expect.objectContaining({ code: 'TM_USAGE' }));
  });
});

describe('IncrReader', () => {
  it('delivers what is appended, and a cursor that finds the place again', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'incr');
    const content = Buffer.from(Array.from({ length: 10_000 }, (_, i) => (i * 31) & 0xff));
    writeFileSync(path, content.subarray(0, 6_000));
    const file = seen(path);
    const reader = IncrReader.atStart(file, openSync(path, 'r'));
    expect(reader.cursor()).toMatchObject({ position: 0, digestBytes: 0 });
    expect(await reader.read(5_000)).toMatchObject({ kind: 'bytes', position: 0 });
    const cursor = reader.cursor();
    expect(cursor).toMatchObject({ position: 5_000, digestBytes: 4_096, file: 'f' });
    expect(await reader.read(5_000)).toMatchObject({ kind: 'bytes', position: 5_000 });
    expect(await reader.read(5_000)).toEqual({ kind: 'end' });
    expect(await reader.hasMore()).toBe(false);
    appendFileSync(path, content.subarray(6_000));
    expect(await reader.hasMore()).toBe(true);
    const again = await IncrReader.atCursor(file, openSync(path, 'r'), cursor);
    const rest = await again?.read(1 << 20);
    expect(rest?.kind === 'bytes' && rest.data.equals(content.subarray(5_000))).toBe(true);
    for (const wrong of [
      { position: 5_001 },
      { digestBytes: 0 },
      { digestBytes: 4_097 },
      { position: 20_000 },
      { digest: '' },
    ]) {
      expect(
        await IncrReader.atCursor(file, openSync(path, 'r'), { ...cursor, ...wrong }),
      ).toBeNull();
    }
  });

  it('notices a file that was cut, and one that was cut and grew again', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'incr');
    writeFileSync(path, 'a'.repeat(100));
    const reader = IncrReader.atStart(seen(path), openSync(path, 'r'));
    await reader.read(1_000);
    truncateSync(path, 90);
    expect(await reader.read(1_000)).toEqual({ kind: 'shrunk', size: 90 });
    appendFileSync(path, 'a'.repeat(20));
    expect(await reader.read(1_000)).toMatchObject({ kind: 'bytes', position: 100 });
    truncateSync(path, 90);
    appendFileSync(path, 'b'.repeat(50));
    expect(await reader.read(1_000)).toEqual({ kind: 'diverged' });
  });
});

describe('LogOff', () => {
  it('lets reading start only with a new file, a restart, or growth', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'old');
    const other = join(temp.path, 'new');
    writeFileSync(path, '12345');
    writeFileSync(other, '');
    const old = seen(path);
    const make = (): LogOff => {
      const off = new LogOff();
      expect(off.unblocked(old)).toBe('yes');
      expect(off.noteOff('a')).toBe(true);
      expect(off.noteOff('a')).toBe(false);
      expect(off.unblocked(seen(other))).toBe('no'); // where it ended is not known yet
      off.latch(old);
      expect(off.endOf(old)).toBe(5);
      expect(off.endOf(seen(other))).toBeNull();
      expect(off.unblocked(old)).toBe('no');
      expect(off.unblocked(null)).toBe('no');
      return off;
    };
    expect(make().unblocked(seen(other))).toBe('new-file');
    const same = make();
    expect(same.noteOn('a')).toBe(true);
    expect(same.noteOn('a')).toBe(false);
    expect(same.unblocked(old)).toBe('no');
    const restarted = make();
    restarted.noteOn('b');
    expect(restarted.unblocked(old)).toBe('same-file');
    appendFileSync(path, '6');
    expect(same.unblocked(old)).toBe('same-file');
    same.clear();
    expect(same.active).toBe(false);
    expect(new LogOff().noteOn('a')).toBe(false);
  });
});

describe('overLimits()', () => {
  it('counts only what the server removed; bases go first, then the oldest', async () => {
    await using temp = await TempDir.create();
    const make = (name: string, type: 'b' | 'i', size: number): SeenFile => {
      const path = join(temp.path, name);
      writeFileSync(path, Buffer.alloc(size));
      return seen(path, type);
    };
    const one = make('one', 'i', 100);
    await sleep(15);
    const two = make('two', 'i', 100);
    const base = make('base', 'b', 100);
    const live = make('live', 'i', 10_000);
    linkSync(live.path, join(temp.path, 'elsewhere'));
    const files = [two, live, base, one];
    const now = Date.now();
    const over = (bytesMax: number, ageMaxMs: number, opened = 0): string[] =>
      overLimits(files, { bytesMax, ageMaxMs }, now, opened).map(({ path }) =>
        path.slice(temp.path.length + 1),
      );
    expect(over(300, 60_000)).toEqual([]);
    expect(over(299, 60_000)).toEqual(['base']);
    expect(over(100, 60_000)).toEqual(['base', 'one']);
    expect(over(0, 60_000)).toEqual(['base', 'one', 'two']);
    expect(over(300, -60_000)).toEqual(['base', 'one', 'two']);
    expect(over(300, 0, now + 1_000)).toEqual([]);
  });
});

class Folder {
  readonly dir: string;
  readonly root: string;
  readonly pinDir: string;
  readonly reports: PinReport[] = [];
  readonly scout: PinScout;

  constructor(parent: string) {
    this.dir = join(parent, 'aof');
    const layout = 'multi-part' as const;
    const place = pinPlace(this.dir, 'm', null);
    this.root = place.root;
    this.pinDir = place.dir;
    mkdirSync(this.dir, { recursive: true });
    const folders = { pinRoot: place.root, pinDir: place.dir };
    const settings = { dir: this.dir, manifestName: 'm', ...folders, layout, resume: null };
    this.scout = new PinScout(settings, (report) => this.reports.push(report));
  }

  write(...lines: string[]): void {
    writeFileSync(join(this.dir, 'temp-m'), lines.map((line) => `file ${line}\n`).join(''));
    renameSync(join(this.dir, 'temp-m'), join(this.dir, 'm'));
  }

  touch(name: string, content = name): void {
    writeFileSync(join(this.dir, name), content);
  }

  /** Reports as text: `b1 i1 i2` in order, `?` for a file that was not found. */
  shapes(): string[] {
    return this.reports.map((report) => {
      if (report.kind !== 'version') return report.kind;
      const { base, incr } = report.version;
      const one = (file: SeenFile | null): string => file?.name ?? '?';
      return [...(base === null ? [] : [one(base)]), ...incr.map(one)].join(' ');
    });
  }

  async until(count: number): Promise<void> {
    for (let i = 0; this.reports.length < count && i < 400; i++) await sleep(5);
  }

  pins(): number {
    return readdirSync(this.pinDir).length;
  }
}

describe('PinScout', () => {
  it('reports every version in order and holds its files before they go', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    folder.scout.start();
    expect(folder.shapes()).toEqual(['absent']);
    folder.touch('b1.rdb');
    folder.touch('i1', 'old content');
    folder.write('b1.rdb seq 1 type b', 'i1 seq 1 type i');
    await folder.until(2);
    folder.touch('i2');
    folder.write('b1.rdb seq 1 type b', 'i1 seq 1 type i', 'i2 seq 2 type i');
    await folder.until(3);
    folder.touch('b2.rdb');
    folder.write('b2.rdb seq 2 type b', 'i1 seq 1 type h', 'i2 seq 2 type i');
    unlinkSync(join(folder.dir, 'i1'));
    unlinkSync(join(folder.dir, 'b1.rdb'));
    folder.write('b2.rdb seq 2 type b', 'i2 seq 2 type i');
    await folder.until(4);
    folder.scout.close();
    expect(folder.shapes()).toEqual(['absent', 'b1.rdb i1', 'b1.rdb i1 i2', 'b2.rdb i2']);
    expect(folder.pins()).toBe(4);
    const last = folder.reports[2];
    if (last?.kind !== 'version') throw new Error('no version');
    const [first, second] = last.version.incr;
    expect(readFileSync(first?.path ?? '', 'utf8')).toBe('old content');
    expect(second?.previous).toMatchObject({ seq: 1, ino: first?.ino });
    expect(lstatSync(folder.root).mode & 0o777).toBe(0o700);
  });

  it('sees a change by its watch, long before a poll would', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    folder.touch('i1');
    folder.write('i1 seq 1 type i');
    folder.scout.start();
    const took: number[] = [];
    for (let seq = 2; seq < 12; seq++) {
      await sleep(2);
      folder.touch(`i${seq}`);
      const start = performance.now();
      folder.write(`i${seq} seq ${seq} type i`);
      await folder.until(seq);
      took.push(performance.now() - start);
    }
    folder.scout.close();
    expect(folder.reports).toHaveLength(11);
    expect(took.sort((a, b) => a - b)[5]).toBeLessThan(100);
  });

  it('notices by its poll a folder that was replaced', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    folder.touch('i1');
    folder.write('i1 seq 1 type i');
    folder.scout.start();
    renameSync(folder.dir, `${folder.dir}.old`);
    await folder.until(2);
    mkdirSync(folder.dir);
    folder.touch('i1', 'another');
    folder.write('i1 seq 1 type i');
    await folder.until(3);
    folder.scout.close();
    expect(folder.shapes()).toEqual(['i1', 'absent', 'i1']);
    const inodes = folder.reports.flatMap((report) =>
      report.kind === 'version' ? report.version.incr.map((file) => file?.ino) : [],
    );
    expect(new Set(inodes).size).toBe(2);
  });

  it('follows no link and reads no device that a manifest names', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    writeFileSync(join(temp.path, 'secret'), 'secret');
    symlinkSync(join(temp.path, 'secret'), join(folder.dir, 'i1'));
    folder.write('i1 seq 1 type i');
    folder.scout.start();
    expect(folder.reports).toMatchObject([{ kind: 'failed', code: 'TM_AOF_DIR' }]);
    unlinkSync(join(folder.dir, 'i1'));
    folder.touch('i1');
    folder.scout.look();
    expect(folder.shapes()).toEqual(['failed', 'i1']);
    folder.scout.close();
  });

  it('tells a broken manifest with its line, and goes on when it is well again', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    folder.touch('i1');
    folder.write('i1 seq 1 type i', '../x seq 2 type i');
    folder.scout.start();
    folder.scout.look();
    expect(folder.reports).toMatchObject([
      { kind: 'failed', code: 'TM_AOF_MANIFEST', context: { line: 2, offset: 21 } },
    ]);
    folder.write('i1 seq 1 type i');
    folder.scout.look();
    expect(folder.shapes()).toEqual(['failed', 'i1']);
    folder.scout.close();
  });

  it('says which file it could not find, and proves nothing over the gap', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    folder.touch('i1');
    folder.touch('i3');
    folder.write('i1 seq 1 type i', 'i2 seq 2 type i', 'i3 seq 3 type i');
    folder.scout.start();
    folder.scout.close();
    expect(folder.shapes()).toEqual(['i1 ? i3']);
    const [report] = folder.reports;
    if (report?.kind !== 'version') throw new Error('no version');
    expect(report.version.incr[2]?.previous).toBeNull();
  });

  it('does not hold again what was let go while the manifest still lists it', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    folder.touch('i1');
    folder.write('i1 seq 1 type i');
    folder.scout.start();
    expect(folder.pins()).toBe(1);
    rmSync(folder.pinDir, { recursive: true });
    folder.touch('i2');
    folder.write('i1 seq 1 type i', 'i2 seq 2 type i');
    folder.scout.look();
    folder.scout.close();
    expect(folder.shapes()).toEqual(['i1', 'i1 i2']);
    expect(readdirSync(folder.pinDir)).toMatchObject([expect.stringMatching(/^incr\.2\./)]);
  });

  it('refuses a pin folder that is a link to elsewhere, and holds files open instead', async () => {
    await using temp = await TempDir.create();
    const folder = new Folder(temp.path);
    mkdirSync(join(temp.path, 'elsewhere'));
    symlinkSync(join(temp.path, 'elsewhere'), folder.root);
    folder.touch('i1');
    folder.write('i1 seq 1 type i');
    folder.scout.start();
    folder.scout.close();
    const [report] = folder.reports;
    if (report?.kind !== 'version') throw new Error('no version');
    expect(report.version.incr[0]).toMatchObject({ pinned: false, name: 'i1' });
    expect(report.version.incr[0]?.fd).toBeGreaterThan(2);
    expect(readdirSync(join(temp.path, 'elsewhere'))).toEqual([]);
  });
});
