import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../support/redis-server.ts';

const PROGRAM = fileURLToPath(new URL('../../services/cli/bin/tidemark.js', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the built command with a standard input that `feed` fills. */
async function run(
  argv: readonly string[],
  feed: (stdin: NodeJS.WritableStream) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [PROGRAM, ...argv]);
  let [out, err] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (out += text.toString()));
  child.stderr.on('data', (text: Buffer) => (err += text.toString()));
  child.stdin.on('error', () => undefined); // it may end before it read all
  feed(child.stdin);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

describe('the file commands on files of a running server', () => {
  it('check, list and time an RDB and an append-only folder; read the standard input', async () => {
    await using server = await startRedis();
    const redis = await server.connect();
    await redis.call('DEBUG', 'POPULATE', 50_000, 'key', 100);
    await redis.save();
    await redis.bgrewriteaof();
    await redis.set('after', 'x');
    const path = join(server.dir, 'dump.rdb');
    const piped = await run(['rdb', 'check', '-', '-o', 'json'], (stdin) => {
      createReadStream(path).pipe(stdin);
    });
    expect(piped).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(piped.out)).toMatchObject({ file: '-', keys: 50_000, valuesChecked: 50_000 });
    const cut = await run(['rdb', 'check', '-'], (stdin) => {
      createReadStream(path, { end: 100_000 }).pipe(stdin);
    });
    expect(cut.code).toBe(14);
    expect(cut.err).toContain('the RDB ends at byte 100001 (TM_RDB_TRUNCATED)');
    await server.stop();
    const aof = await run(['aof', 'check', server.aofDir], (stdin) => stdin.end());
    expect(aof).toMatchObject({ code: 0, err: '' });
    const timeline = await run(['aof', 'timeline', server.aofDir, '-o', 'json'], (stdin) =>
      stdin.end(),
    );
    const { files } = JSON.parse(timeline.out) as { files: { stamps: number; commands: number }[] };
    expect(files.at(-1)?.commands).toBeGreaterThan(0);
    expect(files.reduce((sum, { stamps }) => sum + stamps, 0)).toBeGreaterThan(0);
  });

  it('end quietly when nobody reads on, and at once on Ctrl-C', async () => {
    await using server = await startRedis({ aof: false });
    const redis = await server.connect();
    await redis.call('DEBUG', 'POPULATE', 200_000, 'key', 10);
    await redis.save();
    const path = join(server.dir, 'dump.rdb');
    const child = spawn('sh', [
      '-c',
      '"$@" | head -3',
      'sh',
      process.execPath,
      PROGRAM,
      'rdb',
      'keys',
      path,
    ]);
    let [out, err] = ['', ''];
    child.stdout.on('data', (text: Buffer) => (out += text.toString()));
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    await once(child, 'close');
    expect(out.split('\n').length).toBe(4);
    expect(err).toBe('');

    const waiting = spawn(process.execPath, [PROGRAM, 'rdb', 'check', '-']);
    waiting.stderr.on('data', (text: Buffer) => (err += text.toString()));
    waiting.stdin.write('REDIS0011');
    // More than a pipe holds: once it is taken, the command runs and waits for more.
    const hints = Buffer.alloc(9_000_000, Buffer.of(0xfb, 0, 0));
    await new Promise((resolve) => waiting.stdin.write(hints, resolve));
    waiting.kill('SIGINT');
    const [code] = (await once(waiting, 'close')) as [number | null];
    expect([code, err]).toEqual([130, 'error[130]: cancelled (TM_CANCELLED)\n']);
  });

  it.each<[string, string, string]>([
    ['goes on when nobody reads', '{ "$@"; echo $? >&2; } | true', '0\n'],
    [
      'says that the output cannot be written',
      '"$@" >/dev/full; echo $? >&2',
      'error[1]: the output cannot be written (ENOSPC) (TM_OUTPUT)\n1\n',
    ],
  ])('each %s', async (_, line, expected) => {
    await using server = await startRedis({ aof: false });
    const redis = await server.connect();
    await redis.call('DEBUG', 'POPULATE', 10, 'key', 10);
    await redis.save();
    for (const name of ['info', 'keys']) {
      const file = join(server.dir, 'dump.rdb');
      const shell = spawn('sh', ['-c', line, 'sh', process.execPath, PROGRAM, 'rdb', name, file]);
      let err = '';
      shell.stderr.on('data', (text: Buffer) => (err += text.toString()));
      await once(shell, 'close');
      expect(err).toBe(expected);
    }
  });
});
