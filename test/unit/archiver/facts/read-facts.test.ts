import { Info, type NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { readFacts } from '../../../../services/archiver/src/facts/read-facts.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const REPLIES: Readonly<Record<string, unknown>> = {
  'MODULE LIST': [[bytes('name'), bytes('bf'), bytes('ver'), 20_604]],
  'CONFIG GET *': ['maxmemory', '0', 'requirepass', 'hunter2', 'masterauth', ''].map(bytes),
  'ACL LIST': [bytes('user a on nopass ~k\u00ff* +get'), bytes('user b')],
  COMMAND: [
    [bytes('get'), 2, [bytes('readonly')], 1, 1, 1, [], [], [], []],
    [
      ...[bytes('config'), -2, [], 0, 0, 0, [], [], []],
      [[bytes('config|get'), -3, [bytes('admin')], 0, 0, 0, [], [], [], []]],
    ],
    bytes('nonsense'),
  ],
};

/** The few calls that reading facts makes, answered from a table. */
function node(
  info: string,
  over: Readonly<Record<string, unknown>> = {},
): { readonly client: NodeClient; readonly asked: string[] } {
  const asked: string[] = [];
  const client = {
    info: () => Promise.resolve(Info.parse(info)),
    callBuffer: (...words: readonly string[]) => {
      const command = words.join(' ');
      asked.push(command);
      const reply = { ...REPLIES, ...over }[command];
      return reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply);
    },
  };
  return { client: client as unknown as NodeClient, asked };
}

const INFO = 'redis_version:7.0.15\nrun_id:one\nloading:0\n';
const denied = new NodeError('TM_NODE_RIGHTS', 'the server denies it');

describe('readFacts()', () => {
  it('reads every part; values of secrets are left out', async () => {
    const { facts, runId } = await readFacts(node(INFO).client, null, new Set());
    expect(runId).toBe('one');
    expect(facts).toEqual({
      product: 'redis',
      version: '7.0.15',
      modules: [{ name: 'bf', version: 20_604 }],
      config: { maxmemory: '0' },
      secrets: ['requirepass'],
      acl: [
        { name: 'a', rules: 'on nopass ~k\u00ff* +get' },
        { name: 'b', rules: '' },
      ],
      commands: [
        { name: 'get', arity: 2, flags: ['readonly'], firstKey: 1, lastKey: 1, keyStep: 1 },
        { name: 'config', arity: -2, flags: [], firstKey: 0, lastKey: 0, keyStep: 0 },
        { name: 'config|get', arity: -3, flags: ['admin'], firstKey: 0, lastKey: 0, keyStep: 0 },
      ],
      unread: [],
    });
  });

  it('names what is denied, and does not ask for it again', async () => {
    const { client, asked } = node(INFO, { 'ACL LIST': denied, COMMAND: denied });
    const known = new Set<'modules' | 'commands' | 'config' | 'acl'>();
    const first = await readFacts(client, null, known);
    expect(first.facts).toMatchObject({ acl: null, commands: null });
    expect(first.facts.unread).toEqual([
      { part: 'acl', code: 'TM_NODE_RIGHTS' },
      { part: 'commands', code: 'TM_NODE_RIGHTS' },
    ]);
    asked.length = 0;
    expect(await readFacts(client, first, known)).toEqual(first);
    expect(asked).toEqual(['MODULE LIST', 'CONFIG GET *']);
  });

  it('asks for the COMMAND table again after a restart or with other modules', async () => {
    const first = await readFacts(node(INFO).client, null, new Set());
    const same = node(INFO);
    await readFacts(same.client, first, new Set());
    expect(same.asked).not.toContain('COMMAND');
    const restarted = node(INFO.replace('one', 'two'));
    await readFacts(restarted.client, first, new Set());
    expect(restarted.asked).toContain('COMMAND');
    const others = node(INFO, { 'MODULE LIST': [] });
    await readFacts(others.client, first, new Set());
    expect(others.asked).toContain('COMMAND');
  });

  it('knows a Valkey', async () => {
    const info = `valkey_version:9.1.2\nredis_version:7.2.4\nrun_id:v\n`;
    const { facts } = await readFacts(node(info).client, null, new Set());
    expect(facts).toMatchObject({ product: 'valkey', version: '9.1.2' });
  });

  it('takes nothing from a node that loads its data, or has gone', async () => {
    const loading = node(INFO.replace('loading:0', 'loading:1'));
    await expect(readFacts(loading.client, null, new Set())).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
    });
    const gone = new NodeError('TM_NODE_UNREACHABLE', 'gone');
    await expect(readFacts(node(INFO, { 'ACL LIST': gone }).client, null, new Set())).rejects.toBe(
      gone,
    );
  });
});
