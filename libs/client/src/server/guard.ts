import { spawn } from 'node:child_process';

/**
 * Ends a process when this one has ended, whatever the reason: the guard waits on a pipe that only
 * this process holds open. Dispose it once the process is gone, before its id is used again.
 */
export function guardProcess(pid: number): Disposable {
  const words = ['-c', 'read -r _; kill -9 "$0"', pid.toString()];
  // A group of its own: Ctrl-C must not end the guard before what it guards.
  const guard = spawn('/bin/sh', words, {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => undefined); // no shell: then it is as it was without a guard
  guard.stdin.on('error', () => undefined);
  guard.unref();
  // The pipe must not keep this process alive either.
  (guard.stdin as unknown as { unref(): void }).unref();
  return {
    [Symbol.dispose]() {
      guard.kill('SIGKILL');
    },
  };
}
