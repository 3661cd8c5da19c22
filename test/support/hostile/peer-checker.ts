import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a checker on every file of a folder, one line each: name and exit code. */
const SCRIPT = `
cd "$2" || exit 1
for file in *; do
  timeout -s KILL 10 "$1" "$file" >/dev/null 2>&1 </dev/null
  echo "$file $?"
done`;

/** Files are checked by so many shells at once. */
const SHELLS = 2;

/**
 * What a server's own checker says of each input: true = accepted. An exit code other than 0 is a
 * refusal: a crash (failed assertion) and running for 10 seconds count as one.
 * @param program - `redis-check-rdb` or `redis-check-aof`.
 * @param dir - An empty folder.
 */
export async function askChecker(
  program: string,
  inputs: readonly Uint8Array[],
  dir: string,
): Promise<boolean[]> {
  const verdicts = new Array<boolean>(inputs.length).fill(false);
  await Promise.all(
    Array.from({ length: SHELLS }, async (_, shell) => {
      const folder = join(dir, String(shell));
      await mkdir(folder);
      for (let at = shell; at < inputs.length; at += SHELLS) {
        await writeFile(join(folder, `${at}.file`), inputs[at] as Uint8Array);
      }
      const { stdout } = await run('sh', ['-c', SCRIPT, 'sh', program, folder], {
        timeout: 300_000,
        maxBuffer: 1 << 24,
      });
      for (const line of stdout.trim().split('\n')) {
        const [name = '', code] = line.split(' ');
        verdicts[Number.parseInt(name, 10)] = code === '0';
      }
    }),
  );
  return verdicts;
}
