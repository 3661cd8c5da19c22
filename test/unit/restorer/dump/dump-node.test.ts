import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '@tidemark/core';
import { dumpNode, type DumpEnvironment, type DumpedFile } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isSameAddress } from '../../../../services/restorer/src/tde/original-node.ts';
import { RdbBuilder, RDB_VECTORS } from '../../../support/rdb-builder.ts';
import { ScriptedPrimary, type Answer } from '../../../support/scripted-primary.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const MARK = 'fedcba9876543210fedcba9876543210fedcba98';

let temp: TempDir;
beforeEach(async () => {
  temp = await TempDir.create('tidemark-dump-unit-');
});
afterEach(async () => {
  await temp[Symbol.asyncDispose]();
});

function rdb(): Buffer {
  const builder = new RdbBuilder().selectDb(0);
  const [vector] = RDB_VECTORS.redis;
  if (vector === undefined) throw new Error('no vector');
  for (let i = 0; i < 500; i++) {
    builder.entry({ key: `key ${i}`, type: vector.type, value: vector.value });
  }
  return builder.build();
}

/** A primary that sends these bytes as its RDB, and then hangs up if it is told to. */
const serving =
  (bytes: Buffer, hangsUp = false): Answer =>
  (command, end) => {
    if (command === 'PING') return '+PONG\r\n';
    if (!command.startsWith('PSYNC')) return '+OK\r\n';
    end.send(`+FULLRESYNC ${ID} 77\r\n$EOF:${MARK}\r\n`, bytes);
    if (hangsUp) end.socket.end();
    else end.send(MARK);
    return null;
  };

async function dump(
  answer: Answer,
  changes: Partial<DumpEnvironment> & { readonly replace?: boolean } = {},
): Promise<{ file: DumpedFile; primary: ScriptedPrimary }> {
  await using primary = await ScriptedPrimary.start(answer);
  const { replace = false, ...rest } = changes;
  const file = await dumpNode(
    { address: { host: '127.0.0.1', port: primary.port }, path: join(temp.path, 'it'), replace },
    {
      clock: systemClock,
      random: systemRandom,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      mayCopy: () => Promise.resolve(),
      ...rest,
    },
  );
  return { file, primary };
}

const denied = (): TidemarkError => new TidemarkError('TM_TDE_DENIED', 'not this one');

describe('a dump', () => {
  it('is a file of its owner alone, as the node sent it', async () => {
    const bytes = rdb();
    const asked: (string | null)[] = [];
    const mayCopy = (replid: string | null): Promise<void> => {
      asked.push(replid);
      return Promise.resolve();
    };
    const { file, primary } = await dump(serving(bytes), { mayCopy });
    expect(file).toMatchObject({ bytes: bytes.length, replid: ID, offset: 77n });
    expect(file.summary.keys).toBe(500);
    expect(await readFile(file.path)).toEqual(bytes);
    expect((await stat(file.path)).mode & 0o777).toBe(0o600);
    expect(asked).toEqual([null, ID, ID]);
    expect(primary.end.heard).toContain('REPLCONF rdb-only 1');
  });

  it.each<[string, (bytes: Buffer) => Buffer, string]>([
    ['a checksum', (bytes) => changed(bytes, bytes.length - 1), 'TM_RDB_CHECKSUM'],
    ['its first bytes', (bytes) => changed(bytes, 0), 'TM_RDB_MAGIC'],
    ['its end', (bytes) => bytes.subarray(0, -20), 'TM_RDB_TRUNCATED'],
    ['what comes behind', (bytes) => Buffer.concat([bytes, bytes]), 'TM_RDB_TRAILING'],
  ])('is none where the RDB is wrong in %s', async (_, damage, code) => {
    await writeFile(join(temp.path, 'it'), 'before');
    await expect(dump(serving(damage(rdb())), { replace: true })).rejects.toMatchObject({ code });
    expect(await readdir(temp.path)).toEqual(['it']);
    expect(await readFile(join(temp.path, 'it'), 'utf8')).toBe('before');
  });

  it('is none where the link breaks', async () => {
    await expect(dump(serving(rdb().subarray(0, 3000), true))).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'snapshot' },
    });
    expect(await readdir(temp.path)).toEqual([]);
  });

  it.each([1, 2, 3])('is none where it is not allowed, asked for the time %d', async (turn) => {
    let asked = 0;
    const mayCopy = (): Promise<void> => {
      asked += 1;
      return asked === turn ? Promise.reject(denied()) : Promise.resolve();
    };
    await expect(dump(serving(rdb()), { mayCopy })).rejects.toMatchObject({
      code: 'TM_TDE_DENIED',
    });
    expect(await readdir(temp.path)).toEqual([]);
  });

  it('does not ask the node where its name is taken', async () => {
    await writeFile(join(temp.path, 'it'), 'before');
    const answers: string[] = [];
    const answer: Answer = (command) => {
      answers.push(command);
      return '+OK\r\n';
    };
    await expect(dump(answer)).rejects.toMatchObject({ code: 'TM_EXISTS' });
    expect(answers).toEqual([]);
  });
});

describe('the address of a node', () => {
  it('is another spelling of the same place or another place', async () => {
    const at = (host: string, port = 6379): { host: string; port: number } => ({ host, port });
    const on = (path: string): { host: string; port: number; path: string } => ({
      ...at('localhost'),
      path,
    });
    await mkdir(join(temp.path, 'real'));
    await writeFile(join(temp.path, 'real', 'sock'), '');
    await symlink(join(temp.path, 'real'), join(temp.path, 'link'));
    const [real, link] = [join(temp.path, 'real', 'sock'), join(temp.path, 'link', 'sock')];
    const same = [
      [at('Node.example'), at('node.EXAMPLE')],
      [at('127.0.0.1'), at('localhost')],
      [at('127.0.0.1'), at('127.0.0.2')],
      [at('10.1.2.3'), at('::ffff:10.1.2.3')],
      [on(real), on(link)],
    ] as const;
    for (const [one, other] of same) expect(await isSameAddress(one, other)).toBe(true);
    const different = [
      [at('127.0.0.1'), at('127.0.0.1', 6380)],
      [at('10.1.2.3'), at('10.1.2.4')],
      [at('localhost'), on(real)],
      [on(real), on(join(temp.path, 'real', 'other'))],
    ] as const;
    for (const [one, other] of different) expect(await isSameAddress(one, other)).toBe(false);
  });
});

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 0xff;
  return copy;
}
