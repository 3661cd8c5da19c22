import { adviseSource, parseOutputLimit, type SourceLoad } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

const MIB = 1024 * 1024;
const QUIET: SourceLoad = {
  writeRate: 0,
  rateIsExact: true,
  datasetBytes: 0,
  usedMemory: 10 * MIB,
  systemMemory: 1024 * MIB,
  backlogBytes: MIB,
  outputLimit: { hardBytes: 256 * MIB, softBytes: 64 * MIB, softSeconds: 60 },
  minReplicas: 0,
  diskless: true,
};

function settingsOf(load: Partial<SourceLoad>): Record<string, string | null> {
  const advice = adviseSource({ ...QUIET, ...load });
  return Object.fromEntries(advice.map(({ setting, wanted }) => [setting, wanted]));
}

describe('adviseSource', () => {
  it('says nothing of a node with the default settings that writes little', () => {
    expect(settingsOf({ writeRate: 10_000, datasetBytes: 100 * MIB })).toEqual({});
  });

  it('asks for a backlog of a minute of writes', () => {
    expect(settingsOf({ writeRate: MIB / 60 })).toEqual({});
    expect(settingsOf({ writeRate: MIB / 60 + 1 })).toEqual({
      'repl-backlog-size': (2 * MIB).toString(),
    });
    expect(settingsOf({ writeRate: MIB, backlogBytes: 60 * MIB })).toEqual({});
  });

  it('asks for an output buffer that holds what is written during a full resync', () => {
    // 3 GiB at 30 MiB/s and 5 s of delay: 107.4 s; at 1 MiB/s 107.4 MiB wait.
    const load = { writeRate: MIB, backlogBytes: 64 * MIB, datasetBytes: 3 * 1024 * MIB };
    expect(settingsOf(load)).toEqual({
      'client-output-buffer-limit': `replica ${256 * MIB} ${128 * MIB} 60`,
    });
    const more = { ...load, writeRate: 4 * MIB, backlogBytes: 256 * MIB };
    expect(settingsOf(more)).toEqual({
      'client-output-buffer-limit': `replica ${1024 * MIB} ${512 * MIB} 60`,
    });
  });

  it('knows that no limit is one, and that a limit below the backlog counts as the backlog', () => {
    const load = { writeRate: MIB, backlogBytes: 512 * MIB, datasetBytes: 3 * 1024 * MIB };
    const [hardBytes, softBytes, softSeconds] = [MIB, MIB, 1];
    expect(settingsOf({ ...load, outputLimit: { hardBytes, softBytes, softSeconds } })).toEqual({});
    const none = { hardBytes: 0, softBytes: 0, softSeconds: 0 };
    expect(settingsOf({ ...load, backlogBytes: 64 * MIB, outputLimit: none })).toEqual({});
  });

  it('asks for one replica more where writes need some', () => {
    expect(settingsOf({ minReplicas: 2 })).toEqual({ 'min-replicas-to-write': '3' });
  });

  it('tells of snapshots on the disk of the node and of memory that a fork may not find', () => {
    expect(settingsOf({ diskless: false })).toEqual({ 'repl-diskless-sync': 'yes' });
    expect(settingsOf({ usedMemory: 700 * MIB })).toEqual({ memory: null });
    expect(settingsOf({ usedMemory: 700 * MIB, systemMemory: 0 })).toEqual({});
  });

  it('names the numbers', () => {
    const [advice] = adviseSource({ ...QUIET, writeRate: 2 * MIB });
    expect(advice?.why).toMatch(/^at 2\.0 MiB a second it covers 0 s; /);
  });

  it('is silent about what could not be read', () => {
    const unread = { outputLimit: null, minReplicas: null, diskless: null };
    expect(settingsOf({ ...unread, writeRate: 10 })).toEqual({});
  });
});

describe('parseOutputLimit', () => {
  it('finds the replicas under both of their names', () => {
    const tail = 'pubsub 33554432 8388608 60';
    const limit = { hardBytes: 268435456, softBytes: 67108864, softSeconds: 60 };
    for (const name of ['slave', 'replica']) {
      expect(parseOutputLimit(`normal 0 0 0 ${name} 268435456 67108864 60 ${tail}`)).toEqual(limit);
    }
  });

  it('takes nothing that it does not understand', () => {
    for (const text of ['', 'normal 0 0 0', 'slave', 'slave 1 2', 'slave 256mb 64mb 60']) {
      expect(parseOutputLimit(text)).toBeNull();
    }
  });
});
