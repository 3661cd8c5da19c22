import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  applySettings,
  restoreSettings,
} from '../../../../services/restorer/src/target/settings.ts';
import type { TargetRecord } from '../../../../services/restorer/src/target/target-record.ts';

const RECORD: TargetRecord = {
  version: 1,
  runId: 'abc',
  unexpectedErrors: 0,
  failures: {},
  settings: [
    { name: 'masterauth', before: '', during: 'secret' },
    { name: 'save', before: '3600 1', during: '' },
    { name: 'repl-timeout', before: '60', during: '3600' },
  ],
};
const BEFORE = { masterauth: '', save: '3600 1', 'repl-timeout': '60' };
const DURING = { masterauth: 'secret', save: '', 'repl-timeout': '3600' };

/** As much of a server as settings need; `locked` cannot be set. */
function serverWith(config: Record<string, string>, locked: readonly string[] = []) {
  const sets: string[] = [];
  const client = {
    isOpen: true,
    configGet: (name: string) => Promise.resolve({ [name]: config[name] }),
    configSet: (name: string, value: string) => {
      if (locked.includes(name)) return Promise.reject(new NodeError('TM_NODE_REPLY', 'locked'));
      sets.push(name);
      config[name] = value;
      return Promise.resolve();
    },
  } as unknown as NodeClient;
  return { client, config, sets };
}

describe('applySettings() and restoreSettings()', () => {
  it('set all and put all back, the last first', async () => {
    const { client, config, sets } = serverWith({ ...BEFORE });
    await applySettings(client, RECORD);
    expect(config).toEqual(DURING);
    expect(await restoreSettings(client, RECORD)).toEqual([]);
    expect(config).toEqual(BEFORE);
    expect(sets.slice(3)).toEqual(['repl-timeout', 'save', 'masterauth']);
  });

  it('put back what was set when one cannot be set', async () => {
    const { client, config } = serverWith({ ...BEFORE }, ['repl-timeout']);
    await expect(applySettings(client, RECORD)).rejects.toMatchObject({
      code: 'TM_TARGET_SETTING',
      context: { setting: 'repl-timeout' },
    });
    expect(config).toEqual(BEFORE);
  });

  it('leave a value that somebody else set, and can be run again', async () => {
    const { client, config } = serverWith({ ...DURING, 'repl-timeout': '10' });
    expect(await restoreSettings(client, RECORD)).toEqual(['repl-timeout']);
    expect(await restoreSettings(client, RECORD)).toEqual(['repl-timeout']);
    expect(config).toEqual({ ...BEFORE, 'repl-timeout': '10' });
  });

  it('try all of them before they fail', async () => {
    const { client, config } = serverWith({ ...DURING }, ['save']);
    await expect(restoreSettings(client, RECORD)).rejects.toMatchObject({
      code: 'TM_TARGET_SETTING',
      context: { setting: 'save' },
    });
    expect(config).toEqual({ ...BEFORE, save: '' });
  });

  it('put back only what is asked for', async () => {
    const { client, config } = serverWith({ ...DURING });
    await restoreSettings(client, RECORD, ['save']);
    expect(config).toEqual({ ...DURING, save: '3600 1' });
  });
});
