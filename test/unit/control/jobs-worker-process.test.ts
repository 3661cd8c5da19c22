import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import {
  isGone,
  thisProcess,
  workerName,
} from '../../../services/control/src/jobs/worker-process.ts';

const here = thisProcess() ?? expect.fail('proc(5) is not there');
const nameOf = (pid: number, start = here.start, place = here.place): string =>
  `h1.${pid}-${start}-${place}-0123abcd`;

it('a worker names its process so that it is found alive', () => {
  expect(here.pid).toBe(process.pid);
  const name = workerName('h0123456789abcdef', '0123abcd', here);
  expect(name).toMatch(/^h0123456789abcdef\.\d+-\d+-[0-9a-f]{16}-0123abcd$/);
  expect(isGone(name, here)).toBe(false);
  expect(workerName('h1', '0123abcd', null)).toBe(`h1.${process.pid}-0123abcd`);
});

it('a process that was killed is gone, and one that got its pid later is another one', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
    stdio: 'ignore',
  });
  const pid = child.pid ?? 0;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  const name = nameOf(pid, start);
  expect(isGone(name, here)).toBe(false);
  expect(isGone(nameOf(pid, `${Number(start) + 1}`), here)).toBe(true);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  expect(isGone(name, here)).toBe(true);
});

it('of a process of which this one cannot know nobody says that it is gone', () => {
  const other = 'f'.repeat(16);
  // No pid is this large: pid_max is at most 2^22.
  const pid = 9_999_999;
  expect(isGone(nameOf(pid), here)).toBe(true);
  expect(isGone(nameOf(pid, '1', other), here)).toBe(false);
  expect(isGone(nameOf(pid), null)).toBe(false);
  for (const name of [`h1.${pid}-0123abcd`, `h1.${pid}`, 'h1.x-1-0123456789abcdef-0123abcd', '']) {
    expect(isGone(name, here), name).toBe(false);
  }
});
