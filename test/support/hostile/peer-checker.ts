import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Runs a checker on every entry of a folder, one line each: name and exit code. The limit is the
 * kernel's, of processor time: a second process that watches each of thousands is half of the work.
 */
const SCRIPT = `
cd "$2" || exit 1
ulimit -c 0
ulimit -t 10
for entry in *; do
  "$1" "$entry$3" >/dev/null 2>&1 </dev/null
  echo "$entry $?"
done`;

/** Files are checked by so many shells at once. */
const SHELLS = 2;

/**
 * What a server's own checker says of each input: true = accepted. An exit code other than 0 is a
 * refusal: a crash (failed assertion) and 10 seconds of processor time count as one.
 * @param program - `redis-check-rdb` or `redis-check-aof`.
 * @param dir - An empty folder.
 */
export function askChecker(
  program: string,
  inputs: readonly Uint8Array[],
  dir: string,
): Promise<boolean[]> {
  const put = (path: string, at: number): Promise<void> =>
    writeFile(path, inputs[at] as Uint8Array);
  return askEach(program, { count: inputs.length, put, inside: '' }, dir);
}

/** The same for folders, of which the checker is given one file. */
export function askCheckerOfFolders(
  program: string,
  folders: { readonly count: number; readonly put: PutInput; readonly inside: string },
  dir: string,
): Promise<boolean[]> {
  return askEach(program, folders, dir);
}

/** Makes input number `at` under a path. */
export type PutInput = (path: string, at: number) => Promise<void>;

async function askEach(
  program: string,
  { count, put, inside }: { count: number; put: PutInput; inside: string },
  dir: string,
): Promise<boolean[]> {
  const verdicts = new Array<boolean>(count).fill(false);
  await Promise.all(
    Array.from({ length: SHELLS }, async (_, shell) => {
      const folder = join(dir, String(shell));
      await mkdir(folder);
      for (let at = shell; at < count; at += SHELLS) await put(join(folder, `${at}.input`), at);
      const { stdout } = await run('sh', ['-c', SCRIPT, 'sh', program, folder, inside], {
        timeout: 600_000,
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
