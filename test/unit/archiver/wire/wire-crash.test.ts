import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { patternBytes } from '../../../support/pattern.ts';
import { TempDir } from '../../../support/temp-dir.ts';
import { spawnTypeScript } from '../../../support/ts-child.ts';
import { bytesAmong, openWire, readAll } from '../../../support/wire-spool.ts';

const CHILD = new URL('../../../support/wire-child.ts', import.meta.url);
const TOTAL = 16 * 2 ** 20;
const KILLS = 3;
const TIMEOUT_MS = 240_000;

/** The lines of a child, until one of them is enough (it is killed then) or it ends by itself. */
async function linesOf(
  child: ChildProcess,
  isEnough: (line: string) => boolean,
): Promise<readonly string[]> {
  const lines: string[] = [];
  let rest = '';
  child.stdout!.setEncoding('latin1').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop()!;
    lines.push(...parts);
    if (parts.some(isEnough)) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return lines;
}

function bytesSaid(lines: readonly string[]): number {
  const said = lines.findLast((line) => line.startsWith('to '));
  return said === undefined ? 0 : Number(said.slice(3));
}

describe('a process that appends to a wire spool', () => {
  it(
    'loses nothing that it handed over when it is killed, and what is there is right',
    async () => {
      await using temp = await TempDir.create();
      const dir = join(temp.path, 'wire');
      const bytes = patternBytes(TOTAL);
      for (let kill = 1; kill <= KILLS; kill++) {
        const child = spawnTypeScript(CHILD, [dir, TOTAL, 2 ** 21].map(String));
        const enough = (TOTAL / (KILLS + 1)) * kill;
        const lines = await linesOf(child, (line) => bytesSaid([line]) > enough);
        expect(child.signalCode).toBe('SIGKILL');
        await using spool = await openWire(dir);
        const { from, to } = spool.newest!;
        expect(Number(to)).toBeGreaterThanOrEqual(bytesSaid(lines));
        expect(bytesSaid(lines)).toBeGreaterThan(enough);
        const read = bytesAmong(await readAll(spool.read(null)));
        expect(from).toBe(0n);
        expect(read.equals(bytes.subarray(0, Number(to)))).toBe(true);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'says TM_SPOOL when the disk takes no more, and goes on behind the last whole frame',
    async () => {
      await using temp = await TempDir.create();
      const dir = join(temp.path, 'wire');
      const total = 3 * 2 ** 20;
      // A limit of 600 KiB for a file makes the kernel take a part of a frame and then no more.
      const hooks = fileURLToPath(new URL('../../../support/ts-hooks.js', import.meta.url));
      const node = [process.execPath, '--conditions=source', '--import', hooks];
      const args = [...node, fileURLToPath(CHILD), dir, total, 2 ** 26].map(String);
      const script = 'ulimit -f 600 && exec "$@"';
      const child = spawn('bash', ['-c', script, 'bash', ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const lines = await linesOf(child, () => false);
      expect(child.exitCode).toBe(0);
      expect(lines.filter((line) => line === 'failed TM_SPOOL EFBIG').length).toBeGreaterThan(2);
      expect(bytesSaid(lines)).toBe(total);
      await using spool = await openWire(dir);
      const read = bytesAmong(await readAll(spool.read(null)));
      expect(read.equals(patternBytes(total))).toBe(true);
    },
    TIMEOUT_MS,
  );
});
