import { readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';

const CGROUPS = '/sys/fs/cgroup';
/** Depth of a tree of control groups that is looked at. */
const GROUPS_MAX = 32;

/** Reads a file of the system; null: there is none. */
export type ReadText = (path: string) => Promise<string | null>;

/**
 * The memory that processes of this host can still take, in bytes: what the system has to give without swapping,
 * and no more than what each limit of the control groups that this process is in leaves.
 * @see proc_meminfo(5) `MemAvailable`; Linux Documentation/admin-guide/cgroup-v2.rst `memory.max`,
 *   `memory.current`, `memory.stat`; cgroup-v1/memory.rst
 */
export async function availableMemory(read: ReadText = readText): Promise<number> {
  const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec((await read('/proc/meminfo')) ?? '') ?? [];
  const host = kib === undefined ? freemem() : Number(kib) * 1024;
  return Math.min(host, ...(await groupRooms(read)));
}

/** What each group above this process leaves. */
async function groupRooms(read: ReadText): Promise<readonly number[]> {
  const lines = ((await read('/proc/self/cgroup')) ?? '').split('\n');
  const rooms: number[] = [];
  for (const line of lines) {
    const [id, controllers = '', ...rest] = line.split(':');
    const path = rest.join(':');
    const isUnified = id === '0' && controllers === '';
    if (!isUnified && !controllers.split(',').includes('memory')) continue;
    const root = isUnified ? CGROUPS : join(CGROUPS, 'memory');
    for (const group of groupsOf(path)) {
      const room = await roomOf(join(root, group), isUnified, read);
      if (room !== null) rooms.push(room);
    }
  }
  return rooms;
}

/** A group, and all that it lies in. In a container the path of the host may lead nowhere: then its root counts. */
function groupsOf(path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  const all = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  return ['', ...all].slice(0, GROUPS_MAX);
}

/** Null: no limit, or no such group. */
async function roomOf(group: string, isUnified: boolean, read: ReadText): Promise<number | null> {
  const names = isUnified
    ? (['memory.max', 'memory.current'] as const)
    : (['memory.limit_in_bytes', 'memory.usage_in_bytes'] as const);
  const [limit, used, stat] = await Promise.all(
    [...names, 'memory.stat'].map((name) => read(join(group, name))),
  );
  const [most, taken] = [numberOf(limit), numberOf(used)];
  if (most === null || taken === null) return null;
  // Pages of files count as taken, and are given back first.
  const prefix = isUnified ? '' : 'total_';
  const files = ['inactive_file', 'active_file'].map((name) => {
    const [, bytes] = new RegExp(`^${prefix}${name} (\\d+)$`, 'm').exec(stat ?? '') ?? [];
    return Number(bytes ?? 0);
  });
  const cached = files.reduce((sum, bytes) => sum + bytes, 0);
  return Math.max(0, most - Math.max(0, taken - cached));
}

/** Null: `max`, or nothing. */
function numberOf(text: string | null | undefined): number | null {
  const plain = (text ?? '').trim();
  return /^\d+$/.test(plain) ? Number(plain) : null;
}

async function readText(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null);
}
