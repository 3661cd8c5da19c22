import { StoreError, TidemarkError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import {
  FlashbackWatch,
  type FlashbackPort,
} from '../../../../services/archiver/src/flashback/flashback-watch.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

/** What a policy says, and what was done for it. */
class Policy implements FlashbackPort {
  on = true;
  open = false;
  away = false;
  broken = false;
  readonly done: string[] = [];

  isOn(): Promise<boolean> {
    if (this.away) return Promise.reject(new StoreError('TM_STORE_IO', 'the store is away'));
    if (this.broken) return Promise.reject(new TypeError('a defect'));
    return Promise.resolve(this.on);
  }
  hasOpenTimeline(): Promise<boolean> {
    return Promise.resolve(this.open);
  }
  tidy(): Promise<void> {
    this.done.push('tidied');
    return Promise.reject(new TidemarkError('TM_AOF_DIR', 'the folder is gone'));
  }
}

const quiet = { info: ignore, warn: ignore, error: ignore, child: () => quiet };
const never = new AbortController().signal;
const watchOf = (port: FlashbackPort): FlashbackWatch =>
  new FlashbackWatch({ port, clock: systemClock, logger: quiet, lookMs: 5 });

describe('FlashbackWatch', () => {
  it('rests only while flashback is off, and not before open timelines are ended', async () => {
    const policy = new Policy();
    const watch = watchOf(policy);
    await watch.rest(() => policy.done.push('rests'), never);
    policy.on = false;
    policy.open = true;
    await watch.rest(() => policy.done.push('rests'), never);
    expect(policy.done).toEqual([]);
    policy.open = false;
    const resting = watch.rest(() => policy.done.push('rests'), never);
    await until(() => policy.done.length === 2);
    // What could not be tidied does not keep it from resting.
    expect(policy.done).toEqual(['rests', 'tidied']);
    expect(watch.isResting).toBe(true);
    policy.on = true;
    await resting;
    expect(watch.isResting).toBe(false);
  });

  it('goes by what it knew last while the log cannot be read', async () => {
    const policy = new Policy();
    policy.away = true;
    const watch = watchOf(policy);
    expect(await watch.look()).toBe(true);
    await watch.rest(() => expect.fail('it rests'), never);
    policy.away = false;
    policy.on = false;
    expect(await watch.look()).toBe(false);
    policy.away = true;
    expect(await watch.look()).toBe(false);
  });

  it('ends no capture for a defect in reading the policy', async () => {
    const policy = new Policy();
    policy.broken = true;
    const watch = watchOf(policy);
    expect(await watch.look()).toBe(true);
    const over = new AbortController();
    const watching = watch.watch(() => Promise.reject(new Error('it left')), over.signal);
    await systemClock.sleep(30);
    over.abort(new Error('the capture ended'));
    await watching;
  });

  it('asks for a policy that nobody sets here a dozen times an hour', async () => {
    const clock = steppingClock(0);
    const over = new AbortController();
    const policy = new Policy();
    const port: FlashbackPort = {
      isOn: () => {
        if (clock.now >= 3_600_000) over.abort(new Error('enough'));
        policy.done.push('asked');
        return Promise.resolve(true);
      },
      hasOpenTimeline: () => policy.hasOpenTimeline(),
      tidy: () => policy.tidy(),
    };
    const watch = new FlashbackWatch({ port, clock, logger: quiet });
    await watch.watch(() => Promise.resolve(), over.signal);
    expect(policy.done).toHaveLength(12);
  });

  it('has a capture left once flashback is off, and not when the capture ends before', async () => {
    const policy = new Policy();
    const watch = watchOf(policy);
    const left: string[] = [];
    const leave = (): Promise<void> => Promise.resolve(void left.push('left'));
    const over = new AbortController();
    const watching = watch.watch(leave, over.signal);
    over.abort(new Error('the capture ended'));
    await watching;
    expect(left).toEqual([]);
    const again = watch.watch(leave, never);
    policy.on = false;
    await again;
    expect(left).toEqual(['left']);
  });

  it('makes one backup at a time, and a capture begins only behind it', async () => {
    const policy = new Policy();
    policy.on = false;
    const watch = watchOf(policy);
    const resting = watch.rest(ignore, never);
    await until(() => watch.isResting);
    let made = (_: string): void => undefined;
    const backup = watch.backup(() => new Promise<string>((resolve) => (made = resolve)));
    const second = watch.backup(() => Promise.resolve('other'));
    await expect(second).rejects.toMatchObject({ code: 'TM_BUSY' });
    policy.on = true;
    expect(await watch.look()).toBe(true);
    watch.wake();
    await systemClock.sleep(30);
    expect(watch.isResting).toBe(true);
    made('bk-1');
    expect(await backup).toBe('bk-1');
    await resting;
    expect(await watch.backup(() => Promise.resolve('bk-2'))).toBe('bk-2');
  });
});

function ignore(): void {
  // nobody reads it
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('it did not come true');
    await systemClock.sleep(5);
  }
}
