import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../../services/cli/bin/tidemark.js', import.meta.url));
const RESULT_TIMEOUT_MS = 60_000;

const CALLS = [
  ...['open', 'openat', 'openat2', 'creat', 'truncate', 'mknod', 'mknodat', 'io_uring_setup'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat'],
  ...['unlink', 'unlinkat', 'rmdir'],
];
/** Deletions only seem to be done: whatever was written, if only for a moment, can be looked into. */
const KEEP = 'inject=unlink,unlinkat,rmdir:retval=0';

/** Why files cannot be watched on this machine; null: they can. */
export function whyNoWatch(): string | null {
  const tried = spawnSync('strace', ['-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', 'true']);
  if (tried.error !== undefined) return 'strace is not on this machine (run `make strace`)';
  return tried.status === 0 ? null : 'strace may not look at processes here (ptrace)';
}

/** A command that ran, with what it and every process it started did to files. */
export interface WatchedRun<T> {
  readonly document: T;
  /** Every path that was created, opened for writing, linked, renamed from or to; sorted. */
  readonly written: readonly string[];
}

/**
 * Runs the command line under a watch of every process that it starts. No file is deleted.
 * @param finish - Ends what lives on after the command, such as a new server.
 */
export async function runWatched<T>(
  args: readonly string[],
  options: {
    readonly log: string;
    readonly env: NodeJS.ProcessEnv;
    readonly cwd: string;
    readonly finish?: (document: T) => Promise<void>;
  },
): Promise<WatchedRun<T>> {
  const words = ['-f', '-y', '-qq', '-s', '4096', '--seccomp-bpf', '-o', options.log];
  const command = [process.execPath, PROGRAM, ...args, '-o', 'json'];
  const child = spawn('strace', [...words, '-e', CALLS.join(','), '-e', KEEP, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env,
    cwd: options.cwd,
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const deadline = Date.now() + RESULT_TIMEOUT_MS;
  // It does not end before every process that it watches has.
  while (!out.endsWith('\n') && child.exitCode === null && Date.now() < deadline) await delay(20);
  if (!out.endsWith('\n')) {
    child.kill('SIGKILL');
    throw new Error(`${args.join(' ')} gave no result: ${err}`);
  }
  const document = JSON.parse(out) as T;
  await options.finish?.(document);
  const [code] = await closed;
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${String(code)}: ${err}`);
  return { document, written: writtenIn(await readFile(options.log, 'utf8')) };
}

/** The paths that a trace shows as written, whether the call came to its end in one line or not. */
export function writtenIn(trace: string): readonly string[] {
  const written = new Set<string>();
  /** Where each process stands, as its calls have told so far. */
  const standing = new Map<string, string>();
  for (const line of trace.split('\n')) {
    const [, pid = '', call = '', rest = ''] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
    const [, here] = /AT_FDCWD<([^>]*)>/.exec(rest) ?? [];
    if (here !== undefined) standing.set(pid, here);
    if (/ = -1 E/.test(rest)) continue;
    if (call === 'io_uring_setup') throw new Error('files may be written that the watch misses');
    if (call.startsWith('unlink') || call === 'rmdir') continue;
    const isOpen = call.startsWith('open');
    if (isOpen && !/O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)|write/.test(withoutPaths(rest))) continue;
    // A symbolic link says where it leads before it says where it is.
    const paths = pathsOf(rest, standing.get(pid) ?? '/unknown');
    for (const path of call.startsWith('symlink') ? paths.slice(-1) : paths) written.add(path);
  }
  written.delete('/dev/null');
  return [...written].sort();
}

const withoutPaths = (text: string): string =>
  text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '').replaceAll(/<[^>]*>/g, '');

/** Paths of a call, made whole from the folder they are named in. */
function pathsOf(args: string, standing: string): readonly string[] {
  const found: string[] = [];
  for (const [, folder = standing, name = ''] of args.matchAll(
    /(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g,
  )) {
    found.push(resolve(folder, name));
  }
  return found;
}
