import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { endLeftServer, type RestoreEnvironment } from '@tidemark/restorer';
import { endProcesses, processesIn } from '../../../services/control/src/provision/local-folder.ts';
import { TempDir } from '../../support/temp-dir.ts';

/** A shell that stays, and starts nothing. */
const WAITS = 'kill -STOP $$; :';

let temp: TempDir;
let children: ChildProcess[];

beforeEach(async () => {
  temp = await TempDir.create('tidemark-folder-');
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await temp[Symbol.asyncDispose]();
});

async function started(program: string, words: readonly string[], cwd: string): Promise<number> {
  const child = spawn(program, words, { cwd, stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child.pid ?? 0;
}

/** A program by the name of a server. */
async function serverProgram(): Promise<string> {
  const path = join(temp.path, 'redis-server');
  await copyFile('/bin/sleep', path);
  return path;
}

it('ends what is a server in a folder, or becomes one, and nobody who looks around there', async () => {
  const dir = join(temp.path, 'job-1');
  await mkdir(dir);
  const server = await started(await serverProgram(), ['600'], dir);
  const becoming = await started('/bin/sh', ['-c', WAITS, 'redis-server'], dir);
  const guests = [
    await started('/bin/sh', ['-c', WAITS, 'sh'], dir),
    await started('sleep', ['600'], dir),
  ];
  expect([...(await processesIn(dir))].sort()).toEqual([server, becoming].sort());
  await endProcesses(dir, false);
  expect(await processesIn(dir)).toEqual([]);
  for (const child of children.filter(({ pid }) => guests.includes(pid ?? 0))) {
    expect(child).toMatchObject({ exitCode: null, signalCode: null });
  }
});

it('ends the server of a restore that was killed also where a link leads to its folder', async () => {
  const state = join(temp.path, 'state');
  const dir = join(state, 'servers', 'rs-1');
  await mkdir(dir, { recursive: true });
  await symlink(state, join(temp.path, 'link'));
  await started(await serverProgram(), ['600'], dir);
  const environment = { stateDir: join(temp.path, 'link') } as RestoreEnvironment;
  expect(await endLeftServer('rs-1', null, environment)).toBe(true);
  expect(await processesIn(dir)).toEqual([]);
});
