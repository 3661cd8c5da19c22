import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../../services/cli/src/program.ts';
import { log } from '../../support/command-log.ts';
import { RdbBuilder, len, str } from '../../support/rdb-builder.ts';
import { TempDir } from '../../support/temp-dir.ts';

let out: string;
let err: string;
beforeEach(() => {
  [out, err] = ['', ''];
  process.exitCode = undefined;
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
  return () => vi.restoreAllMocks();
});

const rdb = (): RdbBuilder =>
  new RdbBuilder({ version: 11 })
    .aux('redis-ver', '7.2.4')
    .selectDb(0)
    .string('plain', 'value')
    .entry({
      key: 'h',
      type: 4,
      value: Buffer.concat([len(1), str('f'), str('v')]),
      expiryMs: 1_800_000_000_000,
    })
    .selectDb(2)
    .string(Buffer.from([0, 255, 92, 10]), 'x'.repeat(100))
    .string('ключ\n', 'y');

const broken = (): RdbBuilder => rdb().entry({ key: 'bad', type: 2, value: len(0) });

async function fileOf(dir: TempDir, name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(dir.path, name);
  await writeFile(path, bytes);
  return path;
}

describe('tidemark rdb', () => {
  it('check says what a sound file holds, without any configuration', async () => {
    await using dir = await TempDir.create();
    const path = await fileOf(dir, 'dump.rdb', rdb().build());
    expect(await runCli(['rdb', 'check', path])).toBe(0);
    expect(out).toContain(`${path} is sound\nwritten by redis 7.2.4, RDB version 11\n`);
    expect(out).toContain(
      'keys       4 in 2 databases, 1 with an expiry\nchecksum   holds\nvalues     4 looked into',
    );
    out = '';
    expect(await runCli(['rdb', 'check', path, '-o', 'json', '--structure-only'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ file: path, sound: true, keys: 4, valuesChecked: 0 });
    expect(err).toBe('');
  });

  it.each(['check', 'info', 'keys', 'big-keys'])(
    '%s does not look into a sealed backup, and says why',
    async (command) => {
      await using dir = await TempDir.create();
      const sealed = Buffer.concat([Buffer.from('8b544445310d0a1a', 'hex'), Buffer.alloc(200)]);
      const path = await fileOf(dir, 'backup.sealed', sealed);
      expect(await runCli(['rdb', command, path, '-o', 'json'])).toBe(1);
      expect(JSON.parse(err)).toMatchObject({
        error: { code: 'TM_TDE_DENIED', context: { operation: 'offline-analysis', path } },
      });
      expect(out).toBe('');
    },
  );

  it('check ends with 14, the offset, and key and database of a damaged value', async () => {
    await using dir = await TempDir.create();
    const path = await fileOf(dir, 'dump.rdb', broken().build());
    expect(await runCli(['rdb', 'check', path])).toBe(14);
    expect(err).toMatch(
      /^error\[14\]: a value without a member \(TM_RDB_VALUE\)\nhint: it is in the value of key bad of db 2;/,
    );
    err = '';
    expect(await runCli(['rdb', 'check', path, '-o', 'json'])).toBe(14);
    const offset = broken().entries.at(-1)?.valueOffset;
    expect(JSON.parse(err)).toMatchObject({
      error: { code: 'TM_RDB_VALUE', exitCode: 14, context: { offset, db: 2, type: 2 } },
    });
    expect(out).toBe('');
  });

  it('info counts by type and names the largest entry', async () => {
    await using dir = await TempDir.create();
    const path = await fileOf(dir, 'dump.rdb', rdb().build());
    expect(await runCli(['rdb', 'info', path, '-o', 'json'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      product: 'redis',
      version: 11,
      writer: 'redis 7.2.4',
      databases: [
        { db: 0, keys: 2, expires: 1 },
        { db: 2, keys: 2, expires: 0 },
      ],
      kinds: [
        { kind: 'string', keys: 3, expires: 0 },
        { kind: 'hash', keys: 1, expires: 1 },
      ],
      largest: { type: 'string', db: 2, key: '\\x00\\xff\\\\\\x0a', keyBytes: 4 },
    });
    out = '';
    expect(await runCli(['rdb', 'info', path])).toBe(0);
    expect(out).toContain('TYPE    KEYS  EXPIRING  BYTES\nstring  3     0');
    expect(out).toContain('aux        redis-ver = 7.2.4');
  });

  it('keys lists a line for each, keys so that their bytes can be told', async () => {
    await using dir = await TempDir.create();
    const path = await fileOf(dir, 'dump.rdb', rdb().build());
    expect(await runCli(['rdb', 'keys', path])).toBe(0);
    expect(out.split('\n')).toEqual([
      'DB\tTYPE\tBYTES\tEXPIRY\tKEY',
      '0\tstring\t13\t-\tplain',
      '0\thash\t17\t2027-01-15T08:00:00.000Z\th',
      '2\tstring\t108\t-\t\\x00\\xff\\\\\\x0a',
      '2\tstring\t13\t-\tключ\\x0a',
      '',
    ]);
    out = '';
    expect(await runCli(['rdb', 'keys', path, '--db', '2', '--limit', '1', '-o', 'json'])).toBe(0);
    expect(out.split('\n').length).toBe(2);
    expect(JSON.parse(out)).toMatchObject({
      db: 2,
      type: 'string',
      encoding: 0,
      bytes: 108,
      expiryMs: null,
    });
    out = '';
    expect(await runCli(['rdb', 'keys', path, '--type', 'hash', '-o', 'json'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ key: 'h', expiryMs: 1_800_000_000_000 });
  });

  it('keys lists what stands before a fault, then ends with 14', async () => {
    await using dir = await TempDir.create();
    const bytes = rdb().build();
    const path = await fileOf(dir, 'dump.rdb', bytes.subarray(0, -3));
    expect(await runCli(['rdb', 'keys', path])).toBe(14);
    expect(out.split('\n').length).toBe(6);
    expect(err).toContain('(TM_RDB_TRUNCATED)');
  });

  it('big-keys shows the largest of each type', async () => {
    await using dir = await TempDir.create();
    const path = await fileOf(dir, 'dump.rdb', rdb().build());
    expect(await runCli(['rdb', 'big-keys', path, '-n', '1', '-o', 'json'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      top: 1,
      entries: [
        { type: 'string', bytes: 108 },
        { type: 'hash', bytes: 17 },
      ],
    });
    out = '';
    expect(await runCli(['rdb', 'big-keys', path, '--type', 'string'])).toBe(0);
    expect(out.split('\n').map((line) => line.split(/ +/)[1])).toEqual([
      'BYTES',
      '108',
      '13',
      '13',
      undefined,
    ]);
  });

  it.each([
    [['rdb', 'check', '/nowhere/dump.rdb'], 'cannot read /nowhere/dump.rdb (ENOENT)'],
    [['rdb', 'check', '/'], 'cannot read / (EISDIR)'],
    [['rdb', 'keys', 'x', '--db', '-1'], '--db -1 is not a number'],
    [['rdb', 'keys', 'x', '--limit', '1e3'], '--limit 1e3 is not a number'],
    [['rdb', 'keys', 'x', '--type', 'text'], '--type text is not known'],
    [['rdb', 'big-keys', 'x', '-n', '10001'], '--top 10001 is not a number from 0 to 10000'],
    [['rdb', 'check'], "missing required argument 'file'"],
    [['aof', 'check', '/nowhere'], 'cannot read /nowhere (ENOENT)'],
    [['aof', 'check', '/'], '/ holds no AOF manifest'],
  ])('%j is refused with 2', async (argv, message) => {
    expect(await runCli(argv)).toBe(2);
    expect(err).toContain(`error[2]: ${message}`);
  });

  it.each(['rdb check', 'rdb info', 'rdb keys', 'rdb big-keys', 'aof check', 'aof timeline'])(
    '%s --help teaches with an example',
    async (command) => {
      expect(await runCli([...command.split(' '), '--help'])).toBe(0);
      expect(out).toContain(`  tidemark ${command} `);
      expect(out).toContain('-o, --output');
    },
  );
});

const MANIFEST =
  'file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i startoffset 7\n' +
  'file a.aof.2.incr.aof seq 2 type i\n';
const STAMP = '#TS:1750000000\r\n';

async function aofDir(files: Readonly<Record<string, string | Buffer>>): Promise<TempDir> {
  const dir = await TempDir.create();
  await mkdir(join(dir.path, 'aof'));
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir.path, 'aof', name), content);
  }
  return dir;
}

const incr = (...lines: readonly string[]): Buffer =>
  Buffer.concat([Buffer.from(STAMP), log(...lines)]);

describe('tidemark aof', () => {
  it('check and timeline of a whole folder', async () => {
    await using dir = await aofDir({
      'a.aof.manifest': MANIFEST,
      'a.aof.1.base.rdb': rdb().build(),
      'a.aof.1.incr.aof': incr('SET a b', '#TS:1750000009', 'DEL a'),
      'a.aof.2.incr.aof': log('PING', '#XX:1', 'PING'),
    });
    const path = join(dir.path, 'aof');
    for (const from of [path, join(path, 'a.aof.manifest')]) {
      out = '';
      expect(await runCli(['aof', 'check', from, '-o', 'json'])).toBe(0);
      expect(JSON.parse(out)).toMatchObject({
        manifest: join(path, 'a.aof.manifest'),
        sound: true,
        files: [
          { role: 'base', state: 'whole', rdbKeys: 4, log: null, fault: null },
          { role: 'increment', state: 'whole', log: { commands: 2, stepsBack: 0 } },
          {
            role: 'increment',
            state: 'whole',
            log: { annotations: { unknown: 1, firstUnknownAt: 14 } },
          },
        ],
      });
    }
    out = '';
    expect(await runCli(['aof', 'timeline', path, '-o', 'json'])).toBe(0);
    const first = log('SET a b').length + log('DEL a').length;
    expect(JSON.parse(out)).toMatchObject({
      files: [
        { first: null, seconds: 0, startOffset: 0, endOffset: 0 },
        {
          ...{
            first: '2025-06-15T15:06:40Z',
            last: '2025-06-15T15:06:49Z',
            seconds: 10,
            stamps: 2,
          },
          ...{ commands: 2, startOffset: 0, endOffset: first, replicationOffset: '7' },
        },
        { first: null, commands: 2, startOffset: first, endOffset: first + 28 },
      ],
    });
    expect(err).toBe('');
  });

  it.each<[string, string, Record<string, string | Buffer>, object]>([
    [
      'a torn end',
      'TM_AOF_TRUNCATED',
      { 'a.aof.2.incr.aof': log('PING', 'PING').subarray(0, -2) },
      { state: 'torn', fault: { offset: 14 } },
    ],
    [
      'an open MULTI',
      'TM_AOF_TRUNCATED',
      { 'a.aof.2.incr.aof': log('PING', 'MULTI') },
      { state: 'open-multi', fault: { offset: 14 } },
    ],
    [
      'garbage',
      'TM_AOF_PROTOCOL',
      { 'a.aof.2.incr.aof': Buffer.concat([log('PING'), Buffer.alloc(9)]) },
      { state: 'garbage', fault: { offset: 14 } },
    ],
    ['a missing file', 'TM_AOF_MISSING', {}, { state: 'missing', fault: { offset: null } }],
  ])('check finds %s', async (_, code, last, expected) => {
    await using dir = await aofDir({
      'a.aof.manifest': MANIFEST,
      'a.aof.1.base.rdb': rdb().build(),
      'a.aof.1.incr.aof': incr('SET a b'),
      ...last,
    });
    expect(await runCli(['aof', 'check', join(dir.path, 'aof'), '-o', 'json'])).toBe(14);
    const { sound, files } = JSON.parse(out) as { sound: boolean; files: object[] };
    expect(sound).toBe(false);
    expect(files[2]).toMatchObject(expected);
    expect(JSON.parse(err)).toMatchObject({
      error: { code, exitCode: 14, context: { faults: 1 } },
    });
    expect(await runCli(['aof', 'timeline', join(dir.path, 'aof')])).toBe(14);
  });

  it('check finds a damaged base, and a manifest that is none', async () => {
    await using dir = await aofDir({
      'a.aof.manifest': MANIFEST,
      'a.aof.1.base.rdb': rdb().build().subarray(0, -1),
      'a.aof.1.incr.aof': '',
      'a.aof.2.incr.aof': '',
    });
    expect(await runCli(['aof', 'check', join(dir.path, 'aof')])).toBe(14);
    expect(out).toContain('a.aof.1.base.rdb: damaged-rdb at byte');
    expect(out).toContain('a.aof.2.incr.aof  increment  0');
    expect(err).toContain('(TM_RDB_TRUNCATED)');
    await writeFile(join(dir.path, 'aof', 'a.aof.manifest'), 'file x\n');
    expect(await runCli(['aof', 'check', join(dir.path, 'aof')])).toBe(14);
    expect(err).toContain('(TM_AOF_MANIFEST)');
  });

  it('reads a single file with and without an RDB head, whose offsets are those of the file', async () => {
    await using dir = await TempDir.create();
    const head = rdb().build();
    const plain = await fileOf(dir, 'appendonly.aof', log('SELECT 0', 'SET a b'));
    expect(await runCli(['aof', 'check', dir.path, '-o', 'json'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      manifest: null,
      files: [{ role: 'single', rdbBytes: 0 }],
    });
    await writeFile(plain, Buffer.concat([head, log('SELECT 0', 'SET a b'), Buffer.from('*1')]));
    out = '';
    expect(await runCli(['aof', 'check', plain, '-o', 'json'])).toBe(14);
    const offset = head.length + log('SELECT 0', 'SET a b').length;
    expect(JSON.parse(out)).toMatchObject({
      files: [
        {
          rdbBytes: head.length,
          rdbKeys: 4,
          state: 'torn',
          log: { commands: 2 },
          fault: { offset },
        },
      ],
    });
  });
});
