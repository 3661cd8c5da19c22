import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Starts a TypeScript file of the tests in a process of its own, workspace packages read from their
 * sources. Standard output is a pipe, standard error is the test's.
 *
 * @param script - The file, as a URL.
 * @param args - What it finds in `process.argv` from position 2 on.
 */
export function spawnTypeScript(script: URL, args: readonly string[]): ChildProcess {
  return spawn(
    process.execPath,
    [
      '--conditions=source',
      '--import',
      new URL('ts-hooks.js', import.meta.url).href,
      fileURLToPath(script),
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
}
