import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const FOUND_TIMEOUT_MS = 90_000;

/** Waits until a restore has a feeding process; its process id. */
export async function feederOf(pid: number): Promise<number> {
  const deadline = Date.now() + FOUND_TIMEOUT_MS;
  for (;;) {
    const found = childrenOf(pid).find((child) => {
      const [program = '', ...words] = argumentsOf(child);
      return program === process.execPath && words.some((word) => /main\.js$/.test(word));
    });
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`process ${pid} has no feeding process`);
    await delay(5);
  }
}

/** The words a process was started with; none for one that is gone. */
export function argumentsOf(pid: number): readonly string[] {
  return textOf(pid, 'cmdline').split('\0').slice(0, -1);
}

/** Names and values of its environment. */
export function environmentOf(pid: number): readonly string[] {
  return textOf(pid, 'environ').split('\0').slice(0, -1);
}

/** Files that are mapped into its memory, programs and libraries among them. */
export function mappedBy(pid: number): readonly string[] {
  const paths = [...textOf(pid, 'maps').matchAll(/ (\/.*)$/gm)].map(([, path = '']) => path);
  return [...new Set(paths)];
}

/** Its limits of core files, soft and hard. */
export function coreLimitsOf(pid: number): readonly string[] {
  const [, soft = '', hard = ''] =
    /^Max core file size +(\S+) +(\S+)/m.exec(textOf(pid, 'limits')) ?? [];
  return [soft, hard];
}

/** Files that it holds open, sockets and pipes left out. */
export function openFilesOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return path.startsWith('/') ? [path] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** Waits until a process is gone. */
export async function untilGone(pid: number): Promise<void> {
  const deadline = Date.now() + FOUND_TIMEOUT_MS;
  while (argumentsOf(pid).length > 0) {
    if (Date.now() > deadline) throw new Error(`process ${pid} does not end`);
    await delay(20);
  }
}

function childrenOf(pid: number): readonly number[] {
  const text = textOf(pid, `task/${pid}/children`);
  return text.split(' ').filter(Boolean).map(Number);
}

function textOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
