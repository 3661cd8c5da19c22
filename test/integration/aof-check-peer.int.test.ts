import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { findAof } from '../../services/cli/src/files/aof-folder.ts';
import { AofPartWalk, checkAofPart } from '../../services/cli/src/files/check-aof-part.ts';
import { Printer } from '../../services/cli/src/output/printer.ts';
import { log } from '../support/command-log.ts';
import { realLogs } from '../support/hostile/aof-corpus.ts';
import { damaged } from '../support/hostile/damage.ts';
import { askChecker, askCheckerOfFolders } from '../support/hostile/peer-checker.ts';
import { realRdbs } from '../support/hostile/rdb-corpus.ts';
import { Seeded } from '../support/hostile/seeded.ts';
import { compareVerdicts, type Verdict, verdictOf } from '../support/hostile/verdicts.ts';
import { findServer, serverBinaries } from '../support/servers.ts';
import { TempDir } from '../support/temp-dir.ts';

function check(bytes: Buffer): void {
  const walk = new AofPartWalk();
  walk.push(bytes);
  const { fault, state } = walk.end();
  if (fault === null) return;
  throw new FormatError(fault.code, fault.message, { context: { state, offset: fault.offset } });
}

/** What our reader of manifests refuses beyond a server's: docs/formats/aof-manifest.md. */
const REFUSED_MANIFESTS: readonly string[] = [
  'a last line without a newline',
  'a file name that is not a plain name',
  'a word that is not UTF-8',
  'a seq that is not a number above 0',
  'a zero byte',
];

/** Sound and unsound ones. */
const MANIFESTS: readonly string[] = [
  'file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n',
  'file a.1.base.rdb seq 1 type b\nfile gone seq 1 type h\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i startoffset 5\n',
  'file "a.1.incr.aof" seq 1 type i\n',
  "file 'a.2.incr.aof' seq 2 type i key value\n",
  'file "a.\\x31.incr.aof" seq 1 type i\n',
  'file a.1.incr.aof seq 1 type i\n# a comment\nfile a.2.incr.aof seq 2 type i endoffset 7\n',
  'file a.1.incr.aof seq 2 type i\nfile a.2.incr.aof seq 1 type i\n',
  'file a.1.base.rdb seq 1 type b\nfile a.1.base.rdb seq 1 type b\n',
  'file gone seq 1 type i\n',
  'file ../a.1.incr.aof seq 1 type i\n',
  'seq 1 type i file a.1.incr.aof\n',
];

async function verdictOfManifest(path: string): Promise<Verdict> {
  const invocation = {
    configPath: '',
    printer: new Printer('json'),
    signal: new AbortController().signal,
  };
  try {
    for (const part of (await findAof(path)).parts) {
      const { fault } = await checkAofPart(part, invocation);
      if (fault !== null && part.role !== 'history')
        throw new FormatError(fault.code, fault.message);
    }
    return null;
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
}

/** What a server's checker lets pass and we do not; a server itself writes none of it. */
const REFUSED_BY_US: readonly (readonly [string, RegExp, string])[] = [
  ['TM_AOF_PROTOCOL', /no digit/, 'a number with a sign, or with blanks before it'],
  ['TM_AOF_PROTOCOL', /without a name/, 'a command of no arguments, which no server loads'],
  ['TM_AOF_TRUNCATED', /within a.? annotation/, 'an annotation without its end'],
  ['TM_AOF_LIMIT', /annotation/, 'an annotation over 1,024 bytes that goes on with another'],
];

describe('aof check says what the checker of the server says', () => {
  it('of 200 good files and 2,000 damaged ones, with and without an RDB head', async () => {
    const onPath = serverBinaries().find(({ checkAof }) => checkAof === 'redis-check-aof');
    if (onPath === undefined) throw new Error('redis-check-aof is not on the PATH');
    const rdbs = await realRdbs(10, 3, { functions: true });
    const good = await realLogs(200, rdbs, findServer('redis', '6.0'));
    const random = new Seeded(12);
    const bad = Array.from({ length: 2000 }, () => damaged(random.pick(good), random));
    await using dir = await TempDir.create();
    const inputs = [...good, ...bad];
    const peer = await askChecker(onPath.checkAof, inputs, dir.path);
    const ours = inputs.map((bytes) =>
      verdictOf(() => {
        check(bytes);
      }),
    );
    const compared = (from: number, to: number): ReturnType<typeof compareVerdicts> =>
      compareVerdicts(inputs.slice(from, to), ours.slice(from, to), peer.slice(from, to), {
        refused: ({ code, message }) =>
          REFUSED_BY_US.find(([known, text]) => known === code && text.test(message))?.[2] ?? null,
        accepted: () => null,
      });
    expect(compared(0, 200)).toMatchObject({ bothAccept: 200, unexplained: [] });
    const found = compared(200, inputs.length);
    expect(found.unexplained).toEqual([]);
    expect(found.bothRefuse).toBeGreaterThan(1000);
    expect(found.bothAccept).toBeGreaterThan(100);
    for (const [code, least] of [
      ['TM_AOF_PROTOCOL', 500],
      ['TM_AOF_TRUNCATED', 50],
      ['TM_RDB_CHECKSUM', 50],
      ['TM_RDB_VALUE', 20],
    ] as const) {
      expect(found.codes[code], code).toBeGreaterThanOrEqual(least);
    }
  });

  it('of 200 folders whose manifest was damaged, and of what may stand in one', async () => {
    const onPath = serverBinaries().find(({ checkAof }) => checkAof === 'redis-check-aof');
    if (onPath === undefined) throw new Error('redis-check-aof is not on the PATH');
    const random = new Seeded(13);
    const bytes: Buffer[] = [...MANIFESTS.map((text) => Buffer.from(text))];
    while (bytes.length < 200)
      bytes.push(damaged(random.pick(bytes.slice(0, MANIFESTS.length)), random));
    const [rdb = Buffer.alloc(0)] = await realRdbs(1, 3);
    const files = {
      'a.1.base.rdb': rdb,
      'a.1.incr.aof': log('SET a b'),
      'a.2.incr.aof': log('PING'),
    };
    await using dir = await TempDir.create();
    const put = async (path: string, at: number): Promise<void> => {
      await mkdir(path);
      for (const [name, content] of Object.entries(files))
        await writeFile(join(path, name), content);
      await writeFile(join(path, 'a.manifest'), bytes[at] as Buffer);
    };
    const folders = { count: bytes.length, put, inside: '/a.manifest' };
    const peer = await askCheckerOfFolders(onPath.checkAof, folders, dir.path);
    const ours: Verdict[] = [];
    for (const at of bytes.keys()) {
      const path = join(dir.path, String(at % 2), `${at}.input`, 'a.manifest');
      ours.push(await verdictOfManifest(path));
    }
    const refused = ({ code, message }: TidemarkError): string | null =>
      code === 'TM_AOF_MANIFEST' && REFUSED_MANIFESTS.includes(message) ? message : null;
    const found = compareVerdicts(bytes, ours, peer, { refused, accepted: () => null });
    expect(found.unexplained).toEqual([]);
    expect(found.bothAccept).toBeGreaterThanOrEqual(5);
    expect(found.bothRefuse).toBeGreaterThan(150);
  });
});
