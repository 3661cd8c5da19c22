import { describe, expect, it } from 'vitest';
import {
  checkPinned,
  checkTarget,
  parseRules,
  pinnedUrl,
  type Resolve,
} from '../../../services/control/src/provision/allowed-targets.ts';

const names: Readonly<Record<string, readonly string[]>> = {
  'orders.internal': ['10.1.2.3'],
  localhost: ['127.0.0.1', '::1'],
  'here.example': ['127.0.0.1'],
  'own-host': ['127.0.1.1'],
  'loop6.example': ['::1'],
  'here6.example': ['::ffff:127.0.0.1', '::1'],
  'evil.example': ['169.254.169.254'],
  'two.example': ['169.254.169.254', '10.9.9.9'],
  'six.example': ['fd00:0:0:1::7'],
  nobody: [],
};
const resolve: Resolve = (name) => Promise.resolve(names[name] ?? []);
const check = (url: string, ...allow: string[]): ReturnType<typeof checkTarget> =>
  checkTarget(url, allow, resolve);

describe('a target is allowed by a rule, and pinned', () => {
  it.each([
    ['redis://10.1.2.3:6379', '10.1.2.3:6379', '10.1.2.3'],
    ['redis://10.1.2.3:6405', '10.1.2.3:6400-6410', '10.1.2.3'],
    ['redis://10.1.2.3:6379', '10.0.0.0/8:6379', '10.1.2.3'],
    ['redis://10.1.2.3', '10.0.0.0/8:6379-6399', '10.1.2.3'],
    ['rediss://orders.internal:6379', 'orders.internal:6379', '10.1.2.3'],
    ['redis://ORDERS.internal:6379', 'orders.INTERNAL:6379', undefined],
    ['redis://orders.internal:6379', '10.0.0.0/8:6379', '10.1.2.3'],
    ['redis://localhost:6379', '127.0.0.1:6379', '127.0.0.1'],
    ['redis://localhost:6379', '[::1]:6379', '::1'],
    ['redis://[fd00::5]:6379', '[fd00::/8]:6379', 'fd00::5'],
    ['redis://six.example:6379', '[fd00::/8]:6000-7000', 'fd00:0:0:1::7'],
    ['redis://[::ffff:10.1.2.3]:6379', '10.0.0.0/8:6379', '10.1.2.3'],
    ['redis://two.example:6379', 'two.example:6379', '10.9.9.9'],
    ['redis://evil.example:6379', '169.254.169.254:6379', '169.254.169.254'],
  ])('%s by %s', async (url, rule, ip) => {
    const lower = url.toLowerCase();
    const pinned = await check(ip === undefined ? lower : url, rule);
    expect(pinned.host).toBe(ip ?? '10.1.2.3');
  });

  it('keeps the name for the certificate, and a written address leads to the pinned place', async () => {
    const pinned = await check('rediss://loader@orders.internal:6379', 'orders.internal:6379');
    expect(pinned).toMatchObject({ pinnedName: 'orders.internal', secure: true });
    expect(pinnedUrl(pinned)).toBe('rediss://loader@10.1.2.3:6379');
    expect((await check('redis://10.1.2.3', '10.1.2.3:6379')).pinnedName).toBeUndefined();
  });

  it('asks once: a name that leads elsewhere the next time is not asked again', async () => {
    let asked = 0;
    const rebinding: Resolve = () => {
      asked += 1;
      return Promise.resolve([asked === 1 ? '10.1.2.3' : '169.254.169.254']);
    };
    const pinned = await checkTarget('redis://a.example', ['a.example:6379'], rebinding);
    expect([pinned.host, asked]).toEqual(['10.1.2.3', 1]);
  });
});

it('what was pinned is looked at again by the list as it is now, and not looked up', async () => {
  const [named, pinned] = ['redis://orders.internal:6379', 'redis://10.1.2.3:6379'];
  await expect(checkPinned(named, pinned, ['orders.internal:6379'])).resolves.toBeUndefined();
  for (const rule of ['other.internal:6379', '10.9.0.0/16:6379', 'orders.internal:6380']) {
    await expect(checkPinned(named, pinned, [rule])).rejects.toMatchObject({
      code: 'TM_TARGET_DENIED',
    });
  }
});

describe('what no rule allows is refused', () => {
  it.each([
    ['redis://10.1.2.3:6379'],
    ['redis://10.1.2.3:6380', '10.1.2.3:6379'],
    ['redis://10.1.2.3:6411', '10.1.2.3:6400-6410'],
    ['redis://11.1.2.3:6379', '10.0.0.0/8:6379'],
    ['redis://orders.internal:6379', 'orders.internal.example:6379'],
    ['redis://here.example:6379', 'here.example:6379'],
    ['redis://here6.example:6379', 'here6.example:6379'],
    ['redis://evil.example:6379', 'evil.example:6379'],
    ['redis://evil.example:6379', '0.0.0.0/0:6379'],
    ['redis://169.254.169.254:6379', '0.0.0.0/0:1-65535'],
    ['redis://[::ffff:169.254.169.254]:6379', '0.0.0.0/0:6379'],
    ['redis://[::ffff:a9fe:a9fe]:6379', '0.0.0.0/0:6379', '[::/0]:6379'],
    ['redis://[64:ff9b::a9fe:a9fe]:6379', '[::/0]:6379'],
    ['redis://[fe80::1]:6379', '[::/0]:6379'],
    ['redis://[fd00:ec2::254]:6379', '[fd00::/8]:6379'],
    ['redis://0.0.0.0:6379', '0.0.0.0/0:6379'],
    ['unix:///run/redis.sock', '0.0.0.0/0:6379'],
  ])('%s by %s %s', async (url, ...rules) => {
    await expect(check(url, ...rules)).rejects.toMatchObject({ code: 'TM_TARGET_DENIED' });
  });

  it.each([
    ['redis://here.example:6379', '127.0.0.1:6379'],
    ['redis://own-host:6380', '127.0.1.1:6380'],
    ['redis://here6.example:6379', '127.0.0.1:6379'],
    ['redis://loop6.example:6379', '[::1]:6379'],
  ])('why the rule of its name does not do for %s, and that %s does', async (url, rule) => {
    const named = url.replace('redis://', '');
    await expect(check(url, named)).rejects.toMatchObject({
      ...{
        code: 'TM_TARGET_DENIED',
        message: expect.stringContaining('this host alone') as unknown,
      },
      hint: `name the address in tidemark.toml: [restorer] allow_targets = ["${rule}"]`,
    });
    await expect(check(url, rule)).resolves.toMatchObject({ port: Number(rule.split(':').at(-1)) });
  });

  it('a name without an address is told as such', async () => {
    await expect(check('redis://nobody', 'nobody:6379')).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
    });
  });

  it.each([
    '10.1.2.3',
    '10.1.2.3:0',
    '10.1.2.3:70000',
    '10.1.2.3:20-10',
    '10.0.0.0/33:1',
    'fd00::1:6379',
    '[fd00::/129]:1',
    '[name]:1',
    'a b:1',
    '-x:1',
    '',
  ])('the rule %j is none', (rule) => {
    expect(() => parseRules([rule])).toThrow(expect.objectContaining({ code: 'TM_CONFIG' }));
  });
});
