import { Info, type NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { writeConfig } from '../../../../services/restorer/src/facts/write-config.ts';
import { FACTS } from '../../../support/node-facts.ts';

const MIB = 1024 ** 2;

/** The few calls that writing settings makes. */
function target(
  settings: Readonly<Record<string, string>>,
  refusing: readonly string[] = [],
): { readonly client: NodeClient; readonly set: string[] } {
  const set: string[] = [];
  const client = {
    isOpen: true,
    configGet: () => Promise.resolve(settings),
    info: () =>
      Promise.resolve(Info.parse(`used_memory:${MIB}\ntotal_system_memory:${64 * MIB}\n`)),
    configSet: (name: string, value: string) => {
      set.push(`${name} ${value}`);
      return refusing.includes(name)
        ? Promise.reject(new NodeError('TM_NODE_REPLY', 'refused'))
        : Promise.resolve();
    },
  };
  return { client: client as unknown as NodeClient, set };
}

const facts = (config: Readonly<Record<string, string>>, secrets: string[] = []): typeof FACTS => ({
  ...FACTS,
  config,
  secrets,
});

describe('writeConfig()', () => {
  it('writes what is safe and differs, the limit of the memory first', async () => {
    const { client, set } = target({
      timeout: '0',
      maxmemory: '0',
      'maxmemory-policy': 'noeviction',
      hz: '10',
    });
    const wanted = {
      'maxmemory-policy': 'allkeys-lru',
      maxmemory: String(8 * MIB),
      timeout: '5',
      hz: '10',
    };
    const { written, same, left } = await writeConfig(facts(wanted), client, true);
    expect(set[0]).toBe(`maxmemory ${String(8 * MIB)}`);
    expect([...written].sort()).toEqual(['maxmemory', 'maxmemory-policy', 'timeout']);
    expect({ same, left }).toEqual({ same: 1, left: [] });
  });

  it('leaves the rest, each with its reason', async () => {
    const { client, set } = target({ dir: '/a', maxmemory: '1', save: '', timeout: '0' }, [
      'timeout',
    ]);
    const wanted = { dir: '/b', maxmemory: '0', save: '60 1', 'new-thing': '1', timeout: '7' };
    const { written, left } = await writeConfig(facts(wanted, ['requirepass']), client, true);
    expect(written).toEqual([]);
    expect(new Map(left.map(({ name, reason }) => [name, reason]))).toEqual(
      new Map([
        ['requirepass', 'it is a secret and not stored; set it yourself'],
        ['maxmemory', 'it would lift the limit of the target'],
        ['dir', 'it belongs to the machine'],
        ['save', 'it is of persistence'],
        ['new-thing', 'the target does not know it'],
        ['timeout', 'the target refuses its value'],
      ]),
    );
    expect(set).toEqual(['timeout 7']);
  });

  it('takes a setting with two names once', async () => {
    const old = { 'hash-max-ziplist-value': '9', 'hash-max-listpack-value': '9' };
    const { client, set } = target({
      'hash-max-ziplist-value': '64',
      'hash-max-listpack-value': '64',
    });
    await writeConfig(facts(old), client, true);
    expect(set).toEqual(['hash-max-listpack-value 9']);
  });

  it('writes nothing when it is only to say what it would do', async () => {
    const { client, set } = target({ timeout: '0' });
    expect((await writeConfig(facts({ timeout: '1' }), client, false)).written).toEqual([
      'timeout',
    ]);
    expect(set).toEqual([]);
  });

  it('fails when the target is gone', async () => {
    const { client } = target({ timeout: '0' }, ['timeout']);
    const gone = { ...client, isOpen: false } as NodeClient;
    await expect(writeConfig(facts({ timeout: '1' }), gone, true)).rejects.toMatchObject({
      code: 'TM_NODE_REPLY',
    });
  });
});
