import { EMPTY_INSTANCE_STATE, POLICY_DAYS } from '@tidemark/catalog';
import { undoRetainMs } from '@tidemark/workspace';
import { describe, expect, it } from 'vitest';
import { policySettings } from '../../../services/workspace/src/config/policy.ts';

describe('policySettings()', () => {
  it('is every day at three in UTC where nothing is said', () => {
    expect(policySettings()).toEqual({
      policy: {
        ...{ days: POLICY_DAYS, hours: ['03:00Z-04:00Z'], timeZone: 'UTC' },
        ...{ retainSeconds: 604_800, keepLast: 1, flashback: true },
      },
      spreadMs: 600_000,
    });
    expect(policySettings({ time_zone: 'Asia/Kolkata' }).policy.hours).toEqual(['03:00']);
  });

  it('takes what is said, and rounds what is kept up to whole seconds', () => {
    const { policy, spreadMs } = policySettings({
      ...{ days: ['sat'], hours: ['02:30'], time_zone: 'Europe/Berlin', retain: '1500ms' },
      ...{ keep_last: 5, flashback: false, spread: '0s' },
    });
    expect(policy).toEqual({
      ...{ days: ['sat'], hours: ['02:30'], timeZone: 'Europe/Berlin' },
      ...{ retainSeconds: 2, keepLast: 5, flashback: false },
    });
    expect(spreadMs).toBe(0);
  });

  it.each([
    [{ days: ['someday'] }, 'policy.days'],
    [{ hours: ['3 am'] }, 'policy.hours'],
    [{ hours: ['03:00Z-04:00Z'], time_zone: 'Europe/Berlin' }, 'policy.hours'],
    [{ time_zone: 'Mars/Olympus' }, 'policy.time_zone'],
    [{ keep_last: 0 }, 'policy.keep_last'],
    [{ retain: '40000d' }, 'policy.retain'],
    [{ spread: '13h' }, 'policy.spread'],
    [{ spread: 'soon' }, 'policy.spread'],
  ])('names what is wrong in %j', (file, name) => {
    expect(() => policySettings(file)).toThrow(
      expect.objectContaining({
        code: 'TM_CONFIG',
        message: expect.stringContaining(name) as unknown,
      }) as Error,
    );
  });
});

describe('undoRetainMs()', () => {
  it('is the policy of the instance, that of the host where it has none, and a day at least', () => {
    const policy = { days: POLICY_DAYS, hours: ['03:00'], retainSeconds: 1_209_600 };
    const catalog = {
      instances: () => [
        { ...EMPTY_INSTANCE_STATE, iid: 'orders', policy },
        { ...EMPTY_INSTANCE_STATE, iid: 'shop' },
      ],
    };
    const parts = { catalog, config: { retainMs: 604_800_000 } };
    const kept = ['orders', 'shop', 'unknown'].map((id) => undoRetainMs(id, parts));
    expect(kept).toEqual([1_209_600_000, 604_800_000, 604_800_000]);
    expect(undoRetainMs('shop', { catalog, config: { retainMs: 1_000 } })).toBe(86_400_000);
  });
});
