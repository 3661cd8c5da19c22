import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentCommands } from '@tidemark/archive';
import type { SegmentStored } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeSpoolNote } from '../../../../services/archiver/src/ship/spool-note.ts';
import { layOut, type Element } from '../../../support/aof-layout.ts';
import { opened } from '../../../support/log-events.ts';
import { failsBefore, MemoryStore } from '../../../support/memory-store.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import {
  logged,
  openShipped,
  openShipRun,
  rollSegment,
  type ShipRun,
} from '../../../support/ship-harness.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const SMALL: Element = ['SET', 'a', '1'];
/** Too large for the body of a log entry, also when it is compressed. */
const LARGE: Element = ['SET', 'large', patternBytes(400_000)];

let temp: TempDir;
let store: MemoryStore;
beforeEach(async () => {
  temp = await TempDir.create();
  store = new MemoryStore();
});
afterEach(() => temp[Symbol.asyncDispose]());

async function begin(spoolMax = 10_000_000): Promise<ShipRun> {
  const run = await openShipRun(temp.path, store, { spoolMax });
  if (run.log.state.timeline === null) await run.log.append(opened());
  return run;
}

const segments = () => logged(store, 'SegmentStored');
async function shippedCommands(): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const entry of await segments()) {
    const { segment } = entry.event as SegmentStored;
    const plain = await openShipped(store, entry, segment);
    parts.push(await collect(segmentCommands(bytesOf(plain), segment)));
  }
  return Buffer.concat(parts);
}

describe('SegmentShipper.seal()', () => {
  it('has the final bytes, the note and the wrapped key in the spool, and asks no store', async () => {
    const run = await begin();
    const calls = run.store.calls.length;
    const { name, event } = await run.shipper.seal(rollSegment(0n, LARGE), 77);
    expect(run.store.calls).toHaveLength(calls);
    expect(await readdir(run.spoolDir)).toEqual([`${name}.json`, `${name}.sealed`]);
    expect(run.spool.bytes).toBe(event.object.size);
    const note = decodeSpoolNote((await run.spool.readNote(name))!);
    expect(note?.event).toEqual(event);
    expect(note?.wrapped?.length).toBeGreaterThan(0);
  });

  it('never writes commands in clear', async () => {
    const secret = 'kept-secret-'.repeat(20);
    const files: Buffer[] = [];
    const run = await begin();
    run.faults.hook = ({ op }) => {
      if (op !== 'put') return undefined;
      for (const name of readdirSync(run.spoolDir)) {
        files.push(readFileSync(join(run.spoolDir, name)));
      }
      return undefined;
    };
    await run.ship(rollSegment(0n, ['SET', 'k', secret]), null);
    expect(files.length).toBeGreaterThan(0);
    const all = Buffer.concat([...files, ...store.objects.values()]);
    expect(all.includes('kept-secret')).toBe(false);
  });

  it('waits for room in the spool', async () => {
    const run = await begin(500_000);
    await run.spool.write('snapshot-bk', [Buffer.alloc(300_000)]);
    const shipping = run.ship(rollSegment(0n, LARGE), null);
    while (run.told.length < 3) await new Promise(setImmediate);
    expect(new Set(run.told)).toEqual(new Set(['TM_SPOOL']));
    expect(await segments()).toHaveLength(0);
    await run.spool.remove('snapshot-bk');
    await shipping;
    expect(await segments()).toHaveLength(1);
    expect(run.spool.bytes).toBe(0);
  });
});

describe('a segment that is shipped', () => {
  it('is the body of its own log entry when it is small', async () => {
    const run = await begin();
    const event = await run.ship(rollSegment(0n, SMALL), 77);
    expect(event).toMatchObject({ object: { key: null }, provenTo: 77 });
    expect(store.keys().filter((key) => key.includes('/seg/'))).toEqual([]);
    expect((await segments()).map((entry) => entry.event)).toEqual([event]);
    expect(await shippedCommands()).toEqual(layOut([SMALL]).stream);
    expect([await readdir(run.spoolDir), run.spool.bytes]).toEqual([[], 0]);
  });

  it('is put after its key and logged after that when it is large', async () => {
    const run = await begin();
    const event = await run.ship(rollSegment(0n, LARGE), null);
    const puts = run.store.calls.filter(({ op }) => op === 'put');
    const order = puts.slice(-3).map(({ key }) => key);
    const [wrapped, object, entry] = order;
    expect(wrapped).toMatch(/^v1\/keys\//);
    expect([object, entry]).toEqual([event.object.key, expect.stringContaining('/log/')]);
    expect(store.objects.get(event.object.key!)).toHaveLength(event.object.size);
    expect((await shippedCommands()).equals(layOut([LARGE]).stream)).toBe(true);
    expect(await readdir(run.spoolDir)).toEqual([]);
  });

  it('has its key put once for all of its epoch', async () => {
    const run = await begin();
    const first = rollSegment(0n, SMALL);
    await run.ship(first, null);
    await run.ship(rollSegment(first.header.end, SMALL), null);
    const puts = run.store.calls.filter(({ op, key }) => op === 'put' && /\/keys\//.test(key));
    expect(puts).toHaveLength(1);
  });

  it('waits for a store that is away, and the same bytes are put', async () => {
    let left = 6;
    const run = await begin();
    run.faults.hook = ({ op, key }) => (op === 'put' && left-- > 0 ? failsBefore(key) : undefined);
    await run.ship(rollSegment(0n, LARGE), null);
    expect(run.told.filter((code) => code === 'TM_STORE_IO')).toHaveLength(6);
    expect(run.told.at(-1)).toBe('recovered');
    expect((await shippedCommands()).equals(layOut([LARGE]).stream)).toBe(true);
    expect(await segments()).toHaveLength(1);
  });

  it('is not shipped when another owner has taken the log', async () => {
    const run = await begin();
    const other = await openShipRun(temp.path, store);
    await expect(run.ship(rollSegment(0n, SMALL), null)).rejects.toMatchObject({
      code: 'TM_LOG_OWNER',
    });
    expect(other.log.state.owner?.generation).toBe(2);
    expect(run.told).toEqual([]);
  });
});
