import { createInstance, openInstanceLog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import { FlashbackPolicy } from '../../../../services/archiver/src/flashback/flashback-policy.ts';
import { RequestMeter } from '../../../../services/archiver/src/ship/request-meter.ts';
import { LOG_KEY } from '../../../support/log-events.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';

it('reading the policy of an instance counts among its requests', async () => {
  let ms = 0;
  const clock: Clock = {
    nowMs: () => ms,
    monotonicMs: () => ms,
    sleep: () => Promise.resolve(),
  };
  const store = new MemoryStore();
  const log = { store, iid: 'inst', logKey: LOG_KEY, clock, random: systemRandom };
  await createInstance({ ...log, name: 'inst', createdMs: 0 });
  const requests = new RequestMeter(clock);
  const policy = new FlashbackPolicy({
    ...{ instance: 'inst', byDefault: true, stateDir: '', store, clock, requests },
    ...{ keys: new MemoryKeys(), random: systemRandom },
  });
  ms = 3_600_000;
  expect(requests.rate()).toMatchObject({ getPerDay: 0 });
  expect(await policy.isOn()).toBe(true);
  const first = requests.rate()?.getPerDay ?? 0;
  expect(first).toBeGreaterThan(0);
  const other = await openInstanceLog(log);
  const kept = { days: ['mon'], hours: ['03:00Z-04:00Z'], retainSeconds: 60 } as const;
  await other.append(() => ({
    ...{ type: 'PolicySet', policy: { ...kept, flashback: false }, atMs: ms },
  }));
  expect(await policy.isOn()).toBe(false);
  expect(requests.rate()?.getPerDay ?? 0).toBeGreaterThan(first);
});
