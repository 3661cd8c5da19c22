import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CanaryHoard } from '../support/canaries/canary-hoard.ts';
import { writeEveryType } from '../support/every-type.ts';
import {
  runWatched,
  whyNoWatch,
  writtenIn,
  type WatchedRun,
} from '../support/feeder/file-watch.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { serversRequired } from '../support/servers.ts';
import { TempDir } from '../support/temp-dir.ts';
import { iso, Tidemark, type RestoreDocument } from '../support/tidemark-cli.ts';

const ID = 'orders';
const reason = whyNoWatch();

describe('files that a restore writes', () => {
  it('a watch names what is created, opened for writing, linked and renamed', () => {
    const trace = [
      '1 openat(AT_FDCWD</w>, "a", O_RDONLY|O_CLOEXEC) = 3</w/a>',
      '1 openat(AT_FDCWD</w>, "O_WRONLY", O_RDONLY) = 3</w/O_WRONLY>',
      '2 openat(AT_FDCWD</w>, "b", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 3</w/b>',
      '3 openat(AT_FDCWD</w>, "/c", O_RDWR|O_CLOEXEC <unfinished ...>',
      '3 <... openat resumed>) = 4</c>',
      '2 openat(7</v>, "d", O_RDWR) = -1 ENOENT (No such file or directory)',
      '2 renameat2(AT_FDCWD</w>, "e", 7</v>, "f", RENAME_NOREPLACE) = 0',
      '2 rename("k", "l") = 0',
      '2 link("/g", "/h") = 0',
      '2 symlink("/aim", "/i") = 0',
      '2 unlink("/j") = 0 (INJECTED)',
      '2 openat(AT_FDCWD</w>, "/dev/null", O_RDWR) = 3</dev/null>',
    ];
    expect(writtenIn(trace.join('\n'))).toEqual(
      ['/c', '/g', '/h', '/i', '/v/f', '/w/b', '/w/e', '/w/k', '/w/l'].sort(),
    );
  });

  if (reason === null) describe('under a watch', watched);
  else {
    it.skipIf(!serversRequired())(`under a watch: ${reason}`, () => {
      throw new Error(reason);
    });
  }
});

function watched(): void {
  let place: TempDir;
  let tidemark: Tidemark;
  let source: RedisServer;
  let hoard: CanaryHoard;
  let kept: Buffer;
  let at: readonly string[];

  beforeAll(async () => {
    place = await TempDir.create('tidemark-watch-');
    await mkdir(join(place.path, 'tmp'));
    tidemark = await Tidemark.init();
    source = await startRedis();
    hoard = new CanaryHoard();
    const redis = await source.connect();
    await writeEveryType(redis, hoard.next, 'first');
    await tidemark.add(ID, source);
    const archiver = await tidemark.serve();
    await writeEveryType(redis, hoard.next, 'second');
    kept = hoard.next();
    await redis.set('kept', kept);
    const second = Math.floor(Date.now() / 1000);
    await tidemark.untilProven(ID, second);
    at = ['--at', iso(second)];
    await redis.set('kept', 'changed since');
    expect(await archiver.stop()).toBe(0);
  });
  afterAll(async () => {
    await source[Symbol.asyncDispose]();
    await tidemark[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  });

  let runs = 0;
  const restore = (
    flags: readonly string[],
    finish?: (document: RestoreDocument) => Promise<void>,
  ): Promise<WatchedRun<RestoreDocument>> =>
    runWatched<RestoreDocument>(['-c', tidemark.config, 'restore', ID, ...flags], {
      log: join(place.path, `trace-${++runs}`),
      env: { ...process.env, TMPDIR: join(place.path, 'tmp') },
      cwd: place.path,
      ...(finish === undefined ? {} : { finish }),
    });
  const RECORD = 'rs-[a-z0-9]+[.]json([.]tmp)?';
  /**
   * Those of the command itself: the projection of the log, what a later one needs to go on, the
   * proof that the store can hold an object (two names of an empty file), and the entries of the
   * instance's log by which retention leaves alone what is read.
   */
  const own = (): readonly RegExp[] => [
    pattern(`${tidemark.dir}/state/catalog.db`, '(-wal|-shm|-journal)?'),
    pattern(`${tidemark.dir}/state/`, `(restores|write-backs)/${RECORD}`),
    pattern(`${tidemark.dir}/store/.tmp/`, '[^/]+'),
    pattern(`${tidemark.dir}/store/v1/instance/${ID}/log/`, '.*'),
  ];
  const others = (written: readonly string[], allowed: readonly RegExp[]): readonly string[] =>
    written.filter((path) => !allowed.some((form) => form.test(path)));
  /** No canary lies in what the restores wrote, in any form. Nothing of that was deleted. */
  const expectNoCanary = async (...folders: readonly string[]): Promise<void> => {
    for (const folder of folders) {
      const { found, files } = await hoard.searchFolder(folder);
      expect([found, files > 0]).toEqual([[], true]);
    }
  };

  it('a full one into a new server: catalog, record, and files of that server', async () => {
    const dir = join(place.path, 'new');
    const { document, written } = await restore(
      [...at, '--to', 'new', '--dir', dir],
      ({ target }) => shutDown(target),
    );
    expect(document.state).toBe('succeeded');
    expect(others(written, [...own(), pattern(`${dir}/`, '.*')])).toEqual([]);
    expect(written.some((path) => path.endsWith('.json.tmp'))).toBe(true);
    await expectNoCanary(join(tidemark.dir, 'state'), join(tidemark.dir, 'store'));
    // The search would find them: the log of the new server has them.
    expect((await hoard.searchFolder(dir)).found.length).toBeGreaterThan(100);
    expect(await readdir(join(place.path, 'tmp'))).toEqual([]);
  });

  it('one of some keys into a running server: catalog and record alone', async () => {
    await using target = await startRedis({ aof: false });
    const url = `redis://127.0.0.1:${target.port}`;
    const flags = ['--key', 'kept', '--to', url, '--verify', 'full'];
    const { document, written } = await restore([...at, ...flags]);
    expect(document).toMatchObject({ state: 'succeeded', keys: 1 });
    expect(others(written, own())).toEqual([]);
    await expectNoCanary(join(tidemark.dir, 'state'), join(tidemark.dir, 'store'));
    expect(await readdir(join(place.path, 'tmp'))).toEqual([]);
  });

  it('into the original: a sealed undo pack, and settings and log of the scratch server', async () => {
    const { written } = await restore([...at, '--key', 'kept', '--to', 'original', '--yes']);
    const scratch = pattern(
      `${place.path}/tmp/tidemark-`,
      `[^/]+/(server[.](conf|log)|restores/${RECORD})`,
    );
    const sealed = pattern(`${tidemark.dir}/store/v1/`, '(undo|keys)/.*');
    expect(others(written, [...own(), scratch, sealed])).toEqual([]);
    expect(written.some((path) => sealed.test(path))).toBe(true);
    expect(written.some((path) => scratch.test(path))).toBe(true);
    const redis = await source.connect();
    expect(await redis.getBuffer('kept')).toEqual(kept);
    await expectNoCanary(
      join(tidemark.dir, 'state'),
      join(tidemark.dir, 'store'),
      join(place.path, 'tmp'),
    );
  });
}

function pattern(start: string, rest: string): RegExp {
  return new RegExp(`^${start.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}${rest}$`);
}

async function shutDown(url: string): Promise<void> {
  const client = new Redis(url, { protocol: 2, retryStrategy: () => null });
  client.on('error', () => undefined);
  await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
  client.disconnect();
}
