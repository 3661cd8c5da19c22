import { access, constants, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { TempDir } from './temp-dir.ts';

const NAME = 'redis-server';

/**
 * Lets servers that this process and its children start by name allow DEBUG from this host, so that digests can be
 * compared: a server that a restore starts does not allow it. Disposing takes it back.
 */
export async function useDebugServers(): Promise<AsyncDisposable> {
  const before = process.env['PATH'] ?? '';
  const program = await programOn(before);
  const dir = await TempDir.create('tidemark-debug-');
  const script = `#!/bin/sh\nexec '${program}' "$@" --enable-debug-command local\n`;
  await writeFile(join(dir.path, NAME), script, { mode: 0o755 });
  process.env['PATH'] = `${dir.path}${delimiter}${before}`;
  return {
    async [Symbol.asyncDispose]() {
      process.env['PATH'] = before;
      await dir[Symbol.asyncDispose]();
    },
  };
}

async function programOn(path: string): Promise<string> {
  for (const dir of path.split(delimiter)) {
    const file = join(dir, NAME);
    const isThere = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return file;
  }
  throw new Error(`${NAME} is not on the PATH`);
}
