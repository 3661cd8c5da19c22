import { describe, expect, it } from 'vitest';
import { checkTarget } from '../../../services/control/src/provision/allowed-targets.ts';
import {
  refuseForeignPinned,
  refuseForeignSecret,
} from '../../../services/control/src/provision/target-secrets.ts';

const ALLOW = ['10.0.0.0/8:6379-6389', '[fd00::/8]:6379', 'cache.internal:6379'];

async function given(
  file: string,
  url: string,
  targetSecrets: Readonly<Record<string, readonly string[]>> = {},
  ip = '10.0.0.9',
): Promise<void> {
  const pinned = await checkTarget(url, ALLOW, () => Promise.resolve([ip]));
  await refuseForeignSecret(file, url, pinned, { targetSecrets });
}

describe('a password of the folder is given', () => {
  it.each([
    ['10.0.0.9_6379.pass', 'redis://10.0.0.9:6379'],
    ['fd00--9_6379.pass', 'redis://[fd00::9]:6379'],
    ['cache.internal_6379.pass', 'redis://Cache.internal:6379'],
    ['10.0.0.9_6379.pass', 'redis://cache.internal'],
  ])('by its name: %s to %s', async (file, url) => {
    await expect(given(file, url)).resolves.toBeUndefined();
  });

  it.each([
    [['10.0.0.9:6379'], 'redis://10.0.0.9:6379'],
    [['10.0.0.0/30:6379', '10.0.0.8/30:6379-6380'], 'redis://10.0.0.9:6380'],
    [['cache.internal:6379'], 'redis://cache.internal'],
  ])('by the table: %j to %s', async (rules, url) => {
    await expect(given('orders.pass', url, { 'orders.pass': rules })).resolves.toBeUndefined();
  });

  it.each([
    ['orders.pass', 'redis://10.0.0.9:6379', {}],
    ['10.0.0.9_6379.pass', 'redis://10.0.0.10:6379', {}],
    ['10.0.0.9_6379.pass', 'redis://10.0.0.9:6380', {}],
    ['orders.pass', 'redis://10.0.0.10:6379', { 'orders.pass': ['10.0.0.9:6379'] }],
    ['orders.pass', 'redis://10.0.0.9:6379', { 'orders.pass': [] }],
    // What is listed is no longer told by its name.
    ['10.0.0.9_6379.pass', 'redis://10.0.0.9:6379', { '10.0.0.9_6379.pass': ['10.0.0.8:6379'] }],
    ['constructor', 'redis://10.0.0.9:6379', {}],
  ])('to nobody else: %s, %s, %j', async (file, url, table) => {
    await expect(given(file, url, table)).rejects.toMatchObject({
      ...{ code: 'TM_TARGET_DENIED', context: { file } },
      hint: expect.stringContaining(`[restorer.target_secrets] "${file}"`) as unknown,
    });
  });

  it('nor to where a name leads later', async () => {
    const rules = { targetSecrets: { 'orders.pass': ['10.0.0.8/30:6379'] } };
    const url = 'redis://cache.internal:6379';
    const sent = (ip: string): Promise<void> =>
      refuseForeignPinned('orders.pass', url, `redis://${ip}:6379`, rules);
    await expect(sent('10.0.0.9')).resolves.toBeUndefined();
    await expect(sent('10.9.9.9')).rejects.toMatchObject({ code: 'TM_TARGET_DENIED' });
  });

  it('by no wrong rule', async () => {
    const url = 'redis://10.0.0.9:6379';
    await expect(given('a.pass', url, { 'a.pass': ['10.0.0.9'] })).rejects.toMatchObject({
      ...{
        code: 'TM_CONFIG',
        message: expect.stringContaining('restorer.target_secrets') as unknown,
      },
    });
  });
});
