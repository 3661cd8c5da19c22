import { join } from 'node:path';
import type { LogEntry, SegmentStored, WriterEvent, WriterLog } from '@tidemark/catalog';
import { openBytes, type DataKey } from '@tidemark/crypto';
import { objectIdentity, wrappedKeyKey } from '@tidemark/archive';
import { parseWrappedDataKey, type KeyProvider, type ObjectKind } from '@tidemark/crypto';
import { EventLine } from '../../services/archiver/src/capture/event-line.ts';
import {
  TimelineWriter,
  type RolledSegment,
} from '../../services/archiver/src/capture/timeline-writer.ts';
import { Backlog } from '../../services/archiver/src/ship/backlog.ts';
import { DataKeys } from '../../services/archiver/src/ship/data-keys.ts';
import {
  SegmentShipper,
  type ShipperOptions,
} from '../../services/archiver/src/ship/segment-shipper.ts';
import { Spool } from '../../services/archiver/src/ship/spool.ts';
import { incrFile, layOut, type Element } from './aof-layout.ts';
import { seededRandom } from './crypto-ports.ts';
import { LOG, START_MS } from './log-events.ts';
import { openTestLog, readTestLog } from './log-harness.ts';
import { MemoryKeys } from './memory-keys.ts';
import type { FaultHook, MemoryStore } from './memory-store.ts';
import { steppingClock, type SteppingClock } from './stepping-clock.ts';

/** One run of the shipping half of an archiver, on a store in memory and a spool on the disk. */
export interface ShipRun {
  readonly log: WriterLog;
  readonly spool: Spool;
  readonly spoolDir: string;
  readonly options: ShipperOptions;
  readonly shipper: SegmentShipper;
  readonly backlog: Backlog;
  /** Seals a segment and waits until it is durable; throws what the backlog failed with. */
  readonly ship: (segment: RolledSegment, provenTo: number | null) => Promise<SegmentStored>;
  /** What a new archiver does first; resolves when all that was taken over is durable. */
  readonly recover: () => Promise<number>;
  /** What the backlog failed with. */
  readonly failures: readonly unknown[];
  readonly clock: SteppingClock;
  readonly stop: AbortController;
  /** The store as this run sees it, and what goes wrong with it from now on. */
  readonly store: MemoryStore;
  readonly faults: { hook: FaultHook | undefined };
  /** Codes of what was retried, and `recovered`. */
  readonly told: string[];
}

/** The keys outlive a run, as those of a ring do. */
export const SHIP_KEYS = new MemoryKeys();

/** Starts a run; one that follows another in the same folder is what comes after a crash. */
export async function openShipRun(
  dir: string,
  store: MemoryStore,
  settings: { readonly spoolMax?: number; readonly keys?: KeyProvider } = {},
): Promise<ShipRun> {
  const faults: ShipRun['faults'] = { hook: undefined };
  const seen = store.through((call) => faults.hook?.(call));
  const clock = steppingClock(START_MS);
  const log = await openTestLog(seen, { clock, retry: { attempts: 1 } });
  await log.claim({ ownerId: 'spool-a', takeOver: false });
  const stop = new AbortController();
  const told: string[] = [];
  const retry = {
    clock,
    signal: stop.signal,
    onRetry: ({ code }: { code: string }) => void told.push(code),
    onRecovered: () => void told.push('recovered'),
  };
  const spoolDir = join(dir, 'spool');
  const spool = await Spool.open(spoolDir, settings.spoolMax ?? 100_000_000);
  const events = new EventLine(log, 20_000, retry);
  const { iid: instance, shard, writer } = LOG;
  const options: ShipperOptions = {
    ...retry,
    ...{ instance, shard, writer, store: seen, spool },
    dataKeys: new DataKeys({ instance, keys: settings.keys ?? SHIP_KEYS, store: seen, clock }),
    append: (event, body) => events.append(event, body),
    random: seededRandom(`ship ${log.state.seq}`),
  };
  const shipper = new SegmentShipper(options);
  const failures: unknown[] = [];
  const onFailed = (cause: unknown): void => void failures.push(cause);
  const backlog = new Backlog({ ...options, log, onDurable: () => Promise.resolve(), onFailed });
  const ship: ShipRun['ship'] = async (segment, provenTo) => {
    const { name, event } = await shipper.seal(segment, provenTo);
    backlog.add(name, event);
    await backlog.settled();
    if (failures.length > 0) throw failures[0];
    return event;
  };
  const recover: ShipRun['recover'] = async () => {
    const taken = await backlog.recover();
    await backlog.ended();
    if (failures.length > 0) throw failures[0];
    return taken;
  };
  const parts = { log, spool, spoolDir, options, shipper, backlog, ship, recover, failures };
  return { ...parts, clock, stop, store: seen, faults, told };
}

/** A rolled segment of timeline `t1` that holds the given elements. */
export function rollSegment(start: bigint, ...elements: readonly Element[]): RolledSegment {
  const writer = new TimelineWriter({
    timeline: 't1',
    start: { offset: start, db: 0, inMulti: false, skipBytes: 0 },
    latestSecond: null,
    clock: steppingClock(START_MS),
    limits: { bytesMax: 64 * 1024 * 1024 },
  });
  writer.openFile(incrFile(), Number(start));
  writer.push(layOut(elements).file, Number(start));
  const segment = writer.roll();
  if (segment === null) throw new Error('the elements make no segment');
  return segment;
}

/** The plain content of the object that an event names, opened with what lies in the store alone. */
export async function openShipped(
  store: MemoryStore,
  entry: LogEntry,
  place: { readonly timeline: string; readonly start: bigint },
  keys: MemoryKeys = SHIP_KEYS,
): Promise<Buffer> {
  const { event } = entry;
  if (!('object' in event)) throw new Error(`${event.type} names no object`);
  const { key, dekId, kind } = event.object;
  const purpose = event.type === 'SnapshotStored' ? 'snapshot' : 'segments';
  const wrapped = store.objects.get(wrappedKeyKey(LOG.iid, dekId, 1));
  if (wrapped === undefined) throw new Error('the wrapped key is missing');
  const context = { instance: LOG.iid, purpose, dekId } as const;
  const dataKey = await keys.unwrapDataKey(parseWrappedDataKey(wrapped), context);
  const sealed = key === null ? bodyOf(store, entry) : store.objects.get(key);
  if (sealed === undefined) throw new Error('the object is missing');
  const { iid, writer } = LOG;
  const identity = objectIdentity({ iid, writer, ...place, kind: kind as ObjectKind, key });
  const keyOf = (): DataKey => dataKey;
  return openBytes(sealed, { keyOf, kind: kind as ObjectKind, identity });
}

function bodyOf(store: MemoryStore, entry: LogEntry): Buffer {
  const key = store
    .keys()
    .find((one) => one.endsWith(`/log/${String(entry.seq).padStart(20, '0')}`));
  const bytes = store.objects.get(key ?? '');
  if (bytes === undefined) throw new Error('the entry is missing');
  return bytes.subarray(entry.bodyOffset, entry.bodyOffset + entry.bodySize);
}

/** The entries of the log with these types, in order. */
export async function logged(
  store: MemoryStore,
  ...types: readonly WriterEvent['type'][]
): Promise<LogEntry[]> {
  return (await readTestLog(store)).filter(({ event }) => types.includes(event.type));
}
