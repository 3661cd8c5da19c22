import { bytesOf } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  MeteredStore,
  RequestMeter,
} from '../../../../services/archiver/src/ship/request-meter.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const HOUR = 3_600_000;

async function drain(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}

describe('a metered store', () => {
  it('counts requests as S3 charges for them, and gives what a day of them would be', async () => {
    const clock = steppingClock(7 * HOUR);
    const meter = new RequestMeter(clock);
    const inner = new MemoryStore();
    const store = new MeteredStore(inner, meter);
    expect(store.url).toBe(inner.url);
    await store.putIfAbsent('v1/a', bytesOf(Buffer.alloc(100)));
    await store.putIfAbsent('v1/a', bytesOf(Buffer.alloc(100)));
    await drain(store.get('v1/a'));
    await store.head('v1/a');
    await drain(store.list('v1/'));
    await store.delete('v1/a');
    clock.now += 59_999;
    expect(meter.rate()).toBeNull();
    clock.now += 60_001;
    // Three in two minutes.
    expect(meter.rate()).toEqual({ putPerDay: 3 * 720, getPerDay: 2 * 720, overSeconds: 120 });
  });

  it('counts a large object by its parts', async () => {
    const clock = steppingClock(0);
    const meter = new RequestMeter(clock);
    const store = new MeteredStore(new MemoryStore(), meter);
    const part = Buffer.alloc(1024 * 1024);
    await store.putIfAbsent('v1/b', bytesOf(...new Array<Buffer>(33).fill(part)));
    clock.now += 24 * HOUR - 1;
    expect(meter.rate()?.putPerDay).toBe(3 + 2);
  });

  it('forgets what is older than a day', () => {
    const clock = steppingClock(0);
    const meter = new RequestMeter(clock);
    for (let hour = 0; hour < 60; hour++) {
      for (let i = 0; i < (hour < 30 ? 100 : 10); i++) meter.notePut(1);
      clock.now += HOUR;
    }
    expect(meter.rate()).toEqual({ putPerDay: 240, getPerDay: 0, overSeconds: 23 * 3_600 });
  });

  it('passes faults on', async () => {
    const failing = new MemoryStore({
      hook: () => ({ before: () => Promise.reject(new Error('away')) }),
    });
    const store = new MeteredStore(failing, new RequestMeter(steppingClock(0)));
    await expect(store.putIfAbsent('v1/a', bytesOf())).rejects.toThrow('away');
    await expect(drain(store.get('v1/a'))).rejects.toThrow('away');
  });
});
