import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis } from '../support/redis-server.ts';
import { Tidemark } from '../support/tidemark-cli.ts';

const MIB = 1024 * 1024;
/** Peak memory of the archiver, whatever the size of one value. */
const ARCHIVER_BYTES_MAX = 200 * MIB;

function peakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

it('values of 512 MB in the log and in the base pass in bounded memory', async () => {
  await using source = await startRedis();
  await using tidemark = await Tidemark.init();
  await tidemark.add('big', source);
  const archiver = await tidemark.serve();
  const client = await source.connect();
  const value = Buffer.alloc(512 * MIB, 'the largest string that a client may send ');
  await client.set('in-base', value);
  await tidemark.json('backup', 'create', 'big', '--wait');
  await client.set('in-log', value.subarray(0, 500 * MIB));
  await client.append('in-log', value.subarray(0, 12 * MIB));
  await client.rpush('list', ...Array.from({ length: 64 }, () => value.subarray(0, 4 * MIB)));
  await tidemark.json('windows', 'big');
  const expected = await readOracle(client);
  expect(peakBytes(archiver.child.pid ?? 0)).toBeLessThan(ARCHIVER_BYTES_MAX);
  const { target } = await tidemark.json<{ target: string }>(
    'restore',
    'big',
    '--at',
    'latest',
    '--to',
    'new',
    '--no-promote',
  );
  const restored = await source.connect({ host: '127.0.0.1', port: Number(new URL(target).port) });
  expect(diffOracle(expected, await readOracle(restored))).toEqual([]);
  await restored.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
});

it('an empty instance is captured and restored', async () => {
  await using source = await startRedis();
  await using target = await startRedis({ aof: false });
  await using tidemark = await Tidemark.init();
  await tidemark.add('empty', source);
  await tidemark.serve();
  const url = `redis://127.0.0.1:${target.port}`;
  const report = await tidemark.json<{ keys: number; state: string }>(
    'restore',
    'empty',
    '--at',
    'latest',
    '--to',
    url,
  );
  expect(report).toMatchObject({ keys: 0, state: 'succeeded' });
});
