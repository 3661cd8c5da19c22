import { collectBytes, StoreError, TidemarkError } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import { describe, expect, it } from 'vitest';
import {
  openMetricRegistry,
  type MetricSample,
} from '../../../../services/archiver/src/metrics/metric-registry.ts';
import {
  LateMeter,
  OPERATION_METERS,
  OperationMeter,
  timedStore,
} from '../../../../services/archiver/src/metrics/timed-store.ts';
import { familiesOf, samplesOf, valueOf } from '../../../support/scrape.ts';

const gauge = { name: 'tidemark_a', help: 'A.', type: 'gauge', labels: ['instance'] } as const;
const plain = { name: 'tidemark_b', help: 'B.', type: 'gauge', labels: [] } as const;

describe('a registry of metrics', () => {
  it('reads its sources when it is asked, and shows nothing of what it showed before', async () => {
    const registry = await openMetricRegistry(() => undefined);
    let samples: readonly MetricSample[] = [];
    let asked = 0;
    registry.collect([gauge, plain], () => {
      asked += 1;
      return samples;
    });
    expect(asked).toBe(0);
    const shown = async (): Promise<string> => (await registry.exposition()).text;
    expect(familiesOf(await shown()).get('tidemark_b')).toBe('gauge');
    expect(samplesOf(await shown())).toEqual([]); // what is not known is not 0
    samples = [
      { name: 'tidemark_a', labels: { instance: 'x' }, value: 1 },
      { name: 'tidemark_b', labels: {}, value: 0 },
    ];
    expect(samplesOf(await shown())).toHaveLength(2);
    samples = [{ name: 'tidemark_a', labels: { instance: 'odd"\n\\' }, value: 2.5 }];
    expect(await shown()).toContain('tidemark_a{instance="odd\\"\\n\\\\"} 2.5');
    expect(samplesOf(await shown())).toHaveLength(1);
  });

  it('a source that fails is told of, and hides no other one', async () => {
    const told: unknown[] = [];
    const registry = await openMetricRegistry((cause) => void told.push(cause));
    registry.collect([gauge], () => Promise.reject(new Error('away')));
    registry.collect([plain], () => [{ name: 'tidemark_b', labels: {}, value: 7 }]);
    const samples = samplesOf((await registry.exposition()).text);
    expect(samples).toEqual([{ name: 'tidemark_b', labels: {}, value: 7 }]);
    expect(told).toHaveLength(1);
  });

  it('those who ask at one time share one answer', async () => {
    const registry = await openMetricRegistry(() => undefined);
    let asked = 0;
    registry.collect([plain], async () => {
      asked += 1;
      await Promise.resolve();
      return [];
    });
    await Promise.all(Array.from({ length: 20 }, () => registry.exposition()));
    expect(asked).toBe(1);
  });
});

describe('operations of a store', () => {
  const faulty = {
    url: 'memory:',
    head: (key: string) =>
      key === 'missing'
        ? Promise.reject(new StoreError('TM_STORE_MISSING', 'not there'))
        : Promise.reject(new StoreError('TM_STORE_IO', 'away')),
    async *get() {
      yield await Promise.resolve(Buffer.from('a'));
      yield Buffer.from('b');
      throw new TidemarkError('TM_CANCELLED', 'called off');
    },
    delete: () => Promise.resolve(),
    versions: 'of the adapter',
  } as unknown as ObjectStore & { readonly versions: string };

  async function counted(): Promise<{
    readonly store: typeof faulty;
    readonly count: (op: string, outcome: string) => Promise<number | undefined>;
  }> {
    const registry = await openMetricRegistry(() => undefined);
    const late = new LateMeter();
    const store = timedStore(faulty, late) as typeof faulty;
    await store.delete('before anybody counts');
    late.meter = new OperationMeter(registry, { monotonicMs: () => 0 }, OPERATION_METERS.repo);
    return {
      store,
      count: async (op, outcome) => {
        const samples = samplesOf((await registry.exposition()).text);
        return valueOf(samples, 'tidemark_repo_operations_total', { op, outcome });
      },
    };
  }

  it('are counted by outcome: an object that is not there is an answer, a call that ended is none', async () => {
    const { store, count } = await counted();
    expect(await count('delete', 'ok')).toBe(0);
    await store.delete('a');
    await expect(store.head('missing')).rejects.toThrow();
    await expect(store.head('a')).rejects.toThrow();
    await expect(
      collectBytes(store.get('a'), 100, (bytes) => new Error(bytes.toString())),
    ).rejects.toThrow();
    expect(await count('delete', 'ok')).toBe(1);
    expect(await count('head', 'error')).toBe(1);
    expect(await count('get', 'ok')).toBe(0);
    expect(await count('get', 'error')).toBe(0);
  });

  it('a reader that has enough has read; what an adapter offers beyond its port stays', async () => {
    const { store, count } = await counted();
    for await (const _ of store.get('a')) break;
    expect(await count('get', 'ok')).toBe(1);
    expect(store.versions).toBe('of the adapter');
    expect(store.url).toBe('memory:');
  });
});
