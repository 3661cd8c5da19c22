import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerBinary } from '../servers.ts';
import { TempDir } from '../temp-dir.ts';

/**
 * Lets scratch servers of this process be of another program than the `redis-server` of the PATH:
 * what is restored into them may be newer than that one. Disposing takes it back.
 */
export async function useScratchProgram({ binary }: ServerBinary): Promise<AsyncDisposable> {
  const dir = await TempDir.create('tidemark-program-');
  await symlink(binary, join(dir.path, 'redis-server'));
  const before = process.env['PATH'] ?? '';
  process.env['PATH'] = `${dir.path}:${before}`;
  return {
    async [Symbol.asyncDispose]() {
      process.env['PATH'] = before;
      await dir[Symbol.asyncDispose]();
    },
  };
}
