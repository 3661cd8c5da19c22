import { join } from 'node:path';
import { openCatalog, type WriterEvent } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { failedStatus } from '../../../../services/archiver/src/capture/capture-status.ts';
import { captureSamples } from '../../../../services/archiver/src/metrics/capture-samples.ts';
import { catalogSamples } from '../../../../services/archiver/src/metrics/catalog-samples.ts';
import { EventCounts } from '../../../../services/archiver/src/metrics/event-counts.ts';
import { openTestInstance, syncTest } from '../../../support/catalog-harness.ts';
import {
  closed,
  LOG,
  merged,
  objectRef,
  opened,
  snapshot,
  START_MS,
  stepped,
  stored,
} from '../../../support/log-events.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { valueOf, type ScrapedSample } from '../../../support/scrape.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const START = START_MS / 1000;

/** What the metrics say after some events are in the log and the catalog. */
async function shownAfter(
  events: readonly WriterEvent[],
  facts: {
    readonly nowSeconds: number;
    readonly retainSeconds?: number;
    readonly provenTo?: number;
  },
): Promise<readonly ScrapedSample[]> {
  await using temp = await TempDir.create('tidemark-metrics-');
  const store = new MemoryStore();
  const log = await openTestInstance(store);
  for (const event of events) await log.append(event);
  using catalog = openCatalog({ path: join(temp.path, 'catalog.db') });
  await syncTest(catalog, store);
  return catalogSamples(catalog, {
    ...{ instance: LOG.iid, retainSeconds: 86_400, nowMs: facts.nowSeconds * 1000 },
    ...(facts.retainSeconds === undefined ? {} : { retainSeconds: facts.retainSeconds }),
    live: facts.provenTo === undefined ? null : { timeline: 't2', provenTo: facts.provenTo },
  });
}

const HOLE: readonly WriterEvent[] = [
  opened(),
  snapshot(0n, {
    from: START,
    object: objectRef({ key: 'v1/instance/inst/s0/w1/rdb/bk_1', kind: 4, size: 700 }),
  }),
  stored(0n, 100n, { provenTo: START + 99, object: objectRef({ size: 300 }) }),
  closed(100n, { provenTo: START + 99, reason: 'backlog-overrun' }),
  opened({ timeline: 't2', previous: 't1', reason: 'backlog-overrun', atMs: START_MS + 200_000 }),
  snapshot(0n, {
    ...{ backup: 'bk_2', timeline: 't2', from: START + 200, mode: 'manual' },
    ...{ startedMs: START_MS + 199_000, endedMs: START_MS + 205_000, rdbBytes: 4_000 },
    object: objectRef({ key: 'v1/instance/inst/s0/w1/rdb/bk_2', kind: 4, size: 900 }),
  }),
  stored(0n, 50n, {
    ...{ segment: { timeline: 't2' }, provenTo: START + 299 },
    object: objectRef({ key: 'v1/instance/inst/s0/w1/seg/t2/object', size: 100 }),
  }),
];

describe('the numbers of the catalog', () => {
  const shard = { instance: LOG.iid, shard: LOG.shard };
  const of = (samples: readonly ScrapedSample[], name: string, more = {}): number | undefined =>
    valueOf(samples, `tidemark_${name}`, { instance: LOG.iid, ...more });

  it('the ratio is the share that can be restored, of the seconds between the first and the last', async () => {
    const samples = await shownAfter(HOLE, { nowSeconds: START + 300 });
    expect(of(samples, 'recoverable_earliest_timestamp_seconds', shard)).toBe(START);
    expect(of(samples, 'recoverable_latest_timestamp_seconds', shard)).toBe(START + 299);
    expect(of(samples, 'recoverable_ratio', shard)).toBeCloseTo(200 / 300, 10);
  });

  it('a hole that the policy keeps no longer counts no more', async () => {
    const samples = await shownAfter(HOLE, { nowSeconds: START + 300, retainSeconds: 100 });
    expect(of(samples, 'recoverable_ratio', shard)).toBe(1);
    const half = await shownAfter(HOLE, { nowSeconds: START + 300, retainSeconds: 150 });
    expect(of(half, 'recoverable_ratio', shard)).toBeCloseTo(100 / 150, 10);
    const past = await shownAfter(HOLE, { nowSeconds: START + 900, retainSeconds: 100 });
    expect(of(past, 'recoverable_ratio', shard)).toBe(0);
  });

  it('what was proven since the catalog was read lies behind its last window', async () => {
    const samples = await shownAfter(HOLE, { nowSeconds: START + 400, provenTo: START + 399 });
    expect(of(samples, 'recoverable_latest_timestamp_seconds', shard)).toBe(START + 399);
    expect(of(samples, 'recoverable_ratio', shard)).toBeCloseTo(300 / 400, 10);
  });

  it('backups are counted, the newest of each kind told, and bytes told apart', async () => {
    const samples = await shownAfter(HOLE, { nowSeconds: START + 300 });
    expect(of(samples, 'backups', { ...shard, state: 'stored' })).toBe(2);
    const last = 'backup_last_success_timestamp_seconds';
    expect(of(samples, last, { mode: 'manual' })).toBe(START + 205);
    expect(of(samples, last, { mode: 'attach' })).toBe((START_MS + 3) / 1000);
    expect(of(samples, last, { mode: 'any' })).toBeUndefined();
    expect(of(samples, 'backup_size_bytes', { kind: 'logical' })).toBe(4_000);
    expect(of(samples, 'backup_size_bytes', { kind: 'stored' })).toBe(900);
    expect(of(samples, 'repo_bytes', { kind: 'snapshot' })).toBe(1_600);
    expect(of(samples, 'repo_bytes', { kind: 'segment' })).toBe(400);
    expect(of(samples, 'tde_encrypted_ratio')).toBeUndefined();
  });

  it('without a window there is none to tell of, and an unknown instance has no number', async () => {
    const samples = await shownAfter([opened()], { nowSeconds: START });
    expect(of(samples, 'recoverable_ratio', shard)).toBeUndefined();
    expect(of(samples, 'backups', shard)).toBe(0);
  });
});

describe('the numbers of events', () => {
  it('are sums of what is in the log; reasons that did not happen stand at 0', () => {
    const counts = new EventCounts();
    for (const event of [
      ...HOLE,
      merged(0n, 100n),
      stepped(50n),
      stepped(60n, { direction: 'forward' }),
    ]) {
      counts.note('orders', '0', event);
    }
    const of = (name: string, more = {}): number | undefined =>
      valueOf(counts.samples(), `tidemark_archive_${name}_total`, { instance: 'orders', ...more });
    expect(of('bytes', { stage: 'raw' })).toBe(150);
    expect(of('bytes', { stage: 'stored' })).toBe(400);
    expect(of('commands')).toBe(6);
    expect(of('segments', { outcome: 'stored' })).toBe(2);
    expect(of('segments', { outcome: 'merged' })).toBe(1);
    expect(of('gaps', { reason: 'backlog-overrun' })).toBe(1);
    expect(of('gaps', { reason: 'clock-step' })).toBe(1);
    expect(of('gaps', { reason: 'aof-off' })).toBe(0);
  });
});

describe('the numbers of a capture', () => {
  const place = { shard: '0', spoolBytesMax: 100 };

  it('a capture that failed is not up, and says no lag that nobody knows', () => {
    const samples = captureSamples([failedStatus('orders', null)], place);
    expect(valueOf(samples, 'tidemark_instance_up')).toBe(0);
    expect(valueOf(samples, 'tidemark_archive_lag_seconds')).toBeUndefined();
    expect(valueOf(samples, 'tidemark_archive_last_second_timestamp_seconds')).toBeUndefined();
  });

  it('a link that is down is not up, whatever was captured before', () => {
    const base = { ...failedStatus('orders', null), state: 'caught-up', source: 'aof' } as const;
    expect(valueOf(captureSamples([base], place), 'tidemark_instance_up')).toBe(1);
    const down = { ...base, linkError: 'redis://secret-host refused' };
    const samples = captureSamples([down], place);
    expect(valueOf(samples, 'tidemark_instance_up')).toBe(0);
    expect(JSON.stringify(samples)).not.toContain('secret-host');
  });
});
