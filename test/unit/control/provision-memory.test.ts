import { describe, expect, it } from 'vitest';
import { availableMemory } from '../../../services/control/src/provision/host-memory.ts';

const MIB = 1024 * 1024;
const MEMINFO = 'MemTotal:       8388608 kB\nMemFree:  102400 kB\nMemAvailable:    4194304 kB\n';

const reading = (files: Readonly<Record<string, string>>) => (path: string) =>
  Promise.resolve({ '/proc/meminfo': MEMINFO, ...files }[path] ?? null);

describe('the memory that is left', () => {
  it('is what the system can give without swapping, not its total', async () => {
    expect(await availableMemory(reading({}))).toBe(4_096 * MIB);
  });

  it('is bounded by each group above this process, whose files in memory are given back', async () => {
    const group = '/sys/fs/cgroup/tidemark.slice';
    const files = {
      '/proc/self/cgroup': '0::/tidemark.slice/api.service\n',
      [`${group}/memory.max`]: `${(2_048 * MIB).toString()}\n`,
      [`${group}/memory.current`]: `${(1_500 * MIB).toString()}\n`,
      [`${group}/memory.stat`]: `anon 1\ninactive_file ${(400 * MIB).toString()}\nactive_file ${(100 * MIB).toString()}\n`,
      [`${group}/api.service/memory.max`]: 'max\n',
      [`${group}/api.service/memory.current`]: '1\n',
    };
    expect(await availableMemory(reading(files))).toBe(1_048 * MIB);
  });

  it('is that of the container where its path is that of the host, and none once a limit is passed', async () => {
    const files = {
      '/proc/self/cgroup': '3:cpu,memory:/docker/abc\n0::/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${(512 * MIB).toString()}\n`,
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${(600 * MIB).toString()}\n`,
      '/sys/fs/cgroup/memory/memory.stat': 'inactive_file 5\ntotal_inactive_file 0\n',
    };
    expect(await availableMemory(reading(files))).toBe(0);
  });
});
