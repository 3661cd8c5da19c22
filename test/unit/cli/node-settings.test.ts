import type { NodeClient } from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import { SwitchedSettings } from '@tidemark/workspace';
import { TempDir } from '../../support/temp-dir.ts';

/** A node that takes every setting, or none. */
function nodeThat(takes: boolean): { readonly client: NodeClient; readonly set: string[] } {
  const set: string[] = [];
  const configSet = (name: string, value: string): Promise<void> => {
    set.push(`${name} ${value}`);
    return takes ? Promise.resolve() : Promise.reject(new Error('refused'));
  };
  return { client: { configSet } as unknown as NodeClient, set };
}

describe('SwitchedSettings', () => {
  it('puts back what was there before the first switch, and forgets it then', async () => {
    await using temp = await TempDir.create();
    const settings = new SwitchedSettings(temp.path, 'orders');
    const { client, set } = nodeThat(true);
    expect(await settings.names()).toEqual([]);
    await settings.switch(client, 'one', 'yes', 'no');
    await settings.switch(client, 'two', 'yes', 'no');
    await settings.switch(client, 'one', 'yes', 'yes');
    const again = new SwitchedSettings(temp.path, 'orders');
    expect([...(await again.names())].sort()).toEqual(['one', 'two']);
    set.length = 0;
    await again.putBack(client);
    expect(set.sort()).toEqual(['one no', 'two no']);
    expect(await again.names()).toEqual([]);
  });

  it('remembers a switch that the node did not answer', async () => {
    await using temp = await TempDir.create();
    const settings = new SwitchedSettings(temp.path, 'orders');
    await expect(settings.switch(nodeThat(false).client, 'one', 'yes', 'no')).rejects.toThrow();
    expect(await settings.names()).toEqual(['one']);
    await expect(settings.putBack(nodeThat(false).client)).rejects.toThrow();
    expect(await settings.names()).toEqual(['one']);
  });
});
