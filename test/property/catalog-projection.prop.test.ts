import {
  openCatalog,
  type Catalog,
  type ClockStepped,
  type SegmentStored,
  type WriterEvent,
  type WriterLog,
} from '@tidemark/catalog';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dumpCatalog, openTestInstance, syncTest } from '../support/catalog-harness.ts';
import { historySteps, type HistoryStep } from '../support/log-arbitraries.ts';
import {
  closed,
  heartbeat,
  LOG,
  nodeFacts,
  opened,
  snapshot,
  START_MS,
  stepped,
  stored,
} from '../support/log-events.ts';
import { openTestLog, readTestLog } from '../support/log-harness.ts';
import { failsBefore, MemoryStore } from '../support/memory-store.ts';

const T0 = START_MS / 1000;

/** Writes histories that obey the rules. */
class Historian {
  #second = T0;
  #timelines = 0;
  #log: WriterLog;
  readonly #store: MemoryStore;

  constructor(store: MemoryStore, log: WriterLog) {
    this.#store = store;
    this.#log = log;
  }

  async write(step: HistoryStep): Promise<void> {
    if (step.kind === 'claim') {
      this.#log = await openTestLog(this.#store);
      await this.#log.claim({ ownerId: `spool-${step.bytes % 3}`, takeOver: true });
      return;
    }
    await this.#log.append(this.#eventOf(step));
  }

  #eventOf({ kind, bytes, seconds, flag }: HistoryStep): WriterEvent {
    this.#second += seconds;
    const atMs = this.#second * 1000;
    const { timeline } = this.#log.state;
    if (kind === 'facts') return nodeFacts({ atMs });
    if (timeline === null || timeline.closed !== null) {
      this.#timelines += 1;
      const previous = timeline?.timeline ?? null;
      return opened({ timeline: `t${this.#timelines}`, previous, reason: 'detached', atMs });
    }
    const name = timeline.timeline;
    const provenTo = flag ? this.#second - 1 : null;
    switch (kind) {
      case 'turn':
        return closed(timeline.end, { timeline: name, reason: 'detached', provenTo, atMs });
      case 'heartbeat':
        return heartbeat(timeline.end, { timeline: name, provenTo, atMs });
      case 'step': {
        const direction = flag ? ('back' as const) : ('forward' as const);
        const at = { timeline: name, direction, provenTo: flag ? this.#second : null, atMs };
        if (flag) this.#second -= 5;
        return stepped(timeline.end, at);
      }
      case 'snapshot': {
        const ahead = flag ? 0n : BigInt(bytes);
        const backup = `bk_${name}_${bytes}`;
        return snapshot(timeline.end + ahead, { timeline: name, backup, from: this.#second });
      }
      default: {
        const lastSecond = flag ? this.#second : null;
        const segment = { timeline: name, ...timeline.after, lastSecond };
        const after = { db: bytes % 4, inMulti: flag, partialBytes: bytes % 7 };
        const { end } = timeline;
        return stored(end, end + BigInt(bytes), { segment, after, provenTo, atMs });
      }
    }
  }
}

/** The segments of a timeline between two steps back of the clock. */
function segmentsOfStretch(
  events: readonly WriterEvent[],
  timeline: string,
  wanted: number,
): SegmentStored[] {
  let stretch = 0;
  return events.filter((event): event is SegmentStored => {
    if (event.type === 'ClockStepped' && event.timeline === timeline) {
      stretch += event.direction === 'back' ? 1 : 0;
    }
    if (event.type !== 'SegmentStored') return false;
    return event.segment.timeline === timeline && stretch === wanted;
  });
}

const open = (): Catalog => openCatalog({ path: ':memory:' });

describe('the projection', () => {
  it('is the same built at once or bit by bit, also when syncs are cut off midway', async () => {
    await fc.assert(
      fc.asyncProperty(
        historySteps,
        fc.array(fc.nat({ max: 40 }), { maxLength: 8 }),
        async (steps, cuts) => {
          const store = new MemoryStore();
          const historian = new Historian(store, await openTestInstance(store));
          using bitByBit = open();
          for (const [index, step] of steps.entries()) {
            await historian.write(step);
            const cut = cuts[index % 9];
            if (cut === undefined) continue;
            // The sync ends at the cut-th call; what it applied before stays.
            const handle = store.through(({ index: call, key }) =>
              call >= cut ? failsBefore(key) : undefined,
            );
            await syncTest(bitByBit, handle).catch(() => undefined);
          }
          await syncTest(bitByBit, store);
          using atOnce = open();
          await syncTest(atOnce, store);
          expect(dumpCatalog(bitByBit)).toEqual(dumpCatalog(atOnce));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('says what the log says', async () => {
    await fc.assert(
      fc.asyncProperty(historySteps, async (steps) => {
        const store = new MemoryStore();
        const historian = new Historian(store, await openTestInstance(store));
        for (const step of steps) await historian.write(step);
        using catalog = open();
        await syncTest(catalog, store);
        const events = (await readTestLog(store)).map(({ event }) => event);
        const segments = events.filter(
          (event): event is SegmentStored => event.type === 'SegmentStored',
        );
        const timelines = catalog.timelines(LOG.iid);
        expect(timelines.map((each) => each.timeline)).toEqual(
          events.flatMap((event) => (event.type === 'TimelineOpened' ? [event.timeline] : [])),
        );
        expect(
          timelines.flatMap(({ timeline }) =>
            catalog.segments(timeline).map(({ header }) => header),
          ),
        ).toEqual(segments.map(({ segment }) => segment));
        expect(catalog.snapshots(LOG.iid)).toHaveLength(
          events.filter(({ type }) => type === 'SnapshotStored').length,
        );
        for (const { timeline, steps } of timelines) {
          const logged = events.filter(
            (event): event is ClockStepped =>
              event.type === 'ClockStepped' && event.timeline === timeline,
          );
          expect(steps).toMatchObject(
            logged.map(({ direction, offset }) => ({ direction, offset })),
          );
          for (let second = T0 - 20; second < T0 + 20; second++) {
            for (let stretch = 0; stretch < 4; stretch++) {
              const model = segmentsOfStretch(events, timeline, stretch).find(
                ({ segment: { lastSecond } }) => lastSecond !== null && lastSecond > second,
              );
              const found = catalog.segmentForCut(timeline, second, stretch);
              expect(found?.header).toEqual(model?.segment);
            }
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('notices every store that is an older copy of the one it knows', async () => {
    await fc.assert(
      fc.asyncProperty(historySteps, fc.nat(), async (steps, choice) => {
        const store = new MemoryStore();
        const historian = new Historian(store, await openTestInstance(store));
        const copies = [store.snapshot()];
        for (const step of steps) {
          await historian.write(step);
          copies.push(store.snapshot());
        }
        const last = copies.pop();
        using catalog = open();
        await syncTest(catalog, last ?? store);
        const older = copies[choice % copies.length] ?? store;
        await expect(syncTest(catalog, older)).rejects.toMatchObject({ code: 'TM_LOG_CHAIN' });
        expect(await syncTest(catalog, store)).toBe(0);
      }),
      { numRuns: 40 },
    );
  });
});
