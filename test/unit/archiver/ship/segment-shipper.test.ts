import { readdirSync, readFileSync } from 'node:fs';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentCommands } from '@tidemark/archive';
import type { SegmentStored, WriterEvent } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { followsLog } from '../../../../services/archiver/src/capture/follows-log.ts';
import { SegmentShipper } from '../../../../services/archiver/src/ship/segment-shipper.ts';
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

/** What a new archiver does first. */
async function recover(): Promise<{ readonly run: ShipRun; readonly shipped: number }> {
  const run = await begin();
  const shipped = await run.shipper.recover((event) => followsLog(event, run.log.state));
  return { run, shipped };
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

describe('SegmentShipper.ship()', () => {
  it('makes a small segment the body of its own log entry', async () => {
    const run = await begin();
    const event = await run.shipper.ship(rollSegment(0n, SMALL), 77);
    expect(event).toMatchObject({ object: { key: null }, provenTo: 77 });
    expect(store.keys().filter((key) => key.includes('/seg/'))).toEqual([]);
    expect((await segments()).map((entry) => entry.event)).toEqual([event]);
    expect(await shippedCommands()).toEqual(layOut([SMALL]).stream);
    expect([await readdir(run.spoolDir), run.spool.bytes]).toEqual([[], 0]);
  });

  it('puts a large one first and logs it then', async () => {
    const run = await begin();
    const event = await run.shipper.ship(rollSegment(0n, LARGE), null);
    const puts = run.store.calls.filter(({ op }) => op === 'put');
    const order = puts.slice(-2).map(({ key }) => key);
    expect(order).toEqual([event.object.key, expect.stringContaining('/log/')]);
    expect(store.objects.get(event.object.key!)).toHaveLength(event.object.size);
    expect((await shippedCommands()).equals(layOut([LARGE]).stream)).toBe(true);
    expect(await readdir(run.spoolDir)).toEqual([]);
  });

  it('has the final bytes and the note in the spool before the first put', async () => {
    const seen: string[][] = [];
    const run = await begin();
    run.faults.hook = ({ op, key }) => {
      if (op === 'put' && /\/(seg|log)\//.test(key)) {
        seen.push(readdirSync(run.spoolDir).map((name) => name.split('.')[1] ?? ''));
      }
      return undefined;
    };
    await run.shipper.ship(rollSegment(0n, LARGE), null);
    expect(seen).toEqual([
      ['json', 'sealed'],
      ['json', 'sealed'],
    ]);
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
    await run.shipper.ship(rollSegment(0n, ['SET', 'k', secret]), null);
    expect(files.length).toBeGreaterThan(0);
    const all = Buffer.concat([...files, ...store.objects.values()]);
    expect(all.includes('kept-secret')).toBe(false);
  });

  it('waits for a store that is away and puts the same bytes', async () => {
    let left = 6;
    const run = await begin();
    run.faults.hook = ({ op, key }) => (op === 'put' && left-- > 0 ? failsBefore(key) : undefined);
    await run.shipper.ship(rollSegment(0n, LARGE), null);
    expect(run.told.filter((code) => code === 'TM_STORE_IO')).toHaveLength(6);
    expect(run.told.at(-1)).toBe('recovered');
    expect((await shippedCommands()).equals(layOut([LARGE]).stream)).toBe(true);
    expect(await segments()).toHaveLength(1);
  });

  it('waits for room in the spool', async () => {
    const run = await begin(500_000);
    await run.spool.write('snapshot-bk', [Buffer.alloc(300_000)]);
    const shipping = run.shipper.ship(rollSegment(0n, LARGE), null);
    while (run.told.length < 3) await new Promise(setImmediate);
    expect(new Set(run.told)).toEqual(new Set(['TM_SPOOL']));
    expect(await segments()).toHaveLength(0);
    await run.spool.remove('snapshot-bk');
    await shipping;
    expect(await segments()).toHaveLength(1);
    expect(run.spool.bytes).toBe(0);
  });

  it('ends when another owner has taken the log', async () => {
    const run = await begin();
    const other = await openShipRun(temp.path, store);
    await expect(run.shipper.ship(rollSegment(0n, SMALL), null)).rejects.toMatchObject({
      code: 'TM_LOG_OWNER',
    });
    expect(other.log.state.owner?.generation).toBe(2);
    expect(run.told).toEqual([]);
  });
});

describe('SegmentShipper.recover()', () => {
  const killed = new Error('killed');
  const die = (): never => {
    throw killed;
  };

  it.each<[string, string, 'before' | 'after', number]>([
    ['before its put', '/seg/', 'before', 1],
    ['after its put', '/seg/', 'after', 1],
    ['before its entry', '/log/', 'before', 1],
    ['after its entry', '/log/', 'after', 0],
  ])('ships a segment once and whole that was killed %s', async (_, part, when, shipped) => {
    const first = await begin();
    first.faults.hook = ({ op, key }) =>
      op === 'put' && key.includes(part) ? { [when]: die } : undefined;
    const segment = rollSegment(0n, LARGE);
    await expect(first.shipper.ship(segment, null)).rejects.toBe(killed);
    const [sealed] = (await readdir(first.spoolDir)).filter((name) => name.endsWith('.sealed'));
    const bytes = await readFile(join(first.spoolDir, sealed!));
    const second = await recover();
    expect(second.shipped).toBe(shipped);
    const [entry, ...more] = await segments();
    expect(more).toEqual([]);
    const { key } = (entry!.event as SegmentStored).object;
    expect(store.objects.get(key!)!.equals(bytes)).toBe(true);
    expect(await readdir(first.spoolDir)).toEqual([]);
    await second.run.shipper.ship(rollSegment(segment.header.end, SMALL), null);
    expect((await shippedCommands()).equals(layOut([LARGE, SMALL]).stream)).toBe(true);
  });

  it('ships the body of an entry too', async () => {
    const first = await begin();
    first.faults.hook = ({ key }) => (key.includes('/log/') ? { before: die } : undefined);
    await expect(first.shipper.ship(rollSegment(0n, SMALL), null)).rejects.toBe(killed);
    expect((await recover()).shipped).toBe(1);
    expect(await shippedCommands()).toEqual(layOut([SMALL]).stream);
  });

  it('drops what does not follow the log: the tail delivers those bytes again', async () => {
    const run = await begin();
    await spoolOne(run, { start: 500n });
    expect((await recover()).shipped).toBe(0);
    expect([await segments(), await readdir(run.spoolDir)]).toEqual([[], []]);
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['is shorter', (path) => truncate(`${path}.sealed`, 300)],
    ['is empty', (path) => truncate(`${path}.sealed`, 0)],
    ['is longer', (path) => writeFile(`${path}.sealed`, 'x', { flag: 'a' })],
    ['has another first byte', (path) => changeByte(`${path}.sealed`, 0)],
    ['has another tag', (path) => changeByte(`${path}.sealed`, -1)],
    ['has a note that is no event', (path) => writeFile(`${path}.json`, '{"type":"Segme')],
    ['has a note of other content', (path) => writeFile(`${path}.json`, '{"type":"Other"}')],
  ])('drops an object that the disk did not keep: it %s', async (_, damage) => {
    const run = await begin();
    const name = await spoolOne(run);
    await damage(join(run.spoolDir, name));
    expect((await recover()).shipped).toBe(0);
    expect([await segments(), await readdir(run.spoolDir)]).toEqual([[], []]);
  });

  it('ships several in the order of their offsets', async () => {
    const run = await begin();
    const first = rollSegment(0n, SMALL);
    await spoolOne(run, { start: first.header.end });
    await spoolOne(run);
    const { shipped } = await recover();
    expect(shipped).toBe(2);
    expect(await shippedCommands()).toEqual(layOut([SMALL, SMALL]).stream);
  });

  /** Leaves a segment in the spool as a killed archiver does. @returns Its name. */
  async function spoolOne(run: ShipRun, at: { readonly start: bigint } = { start: 0n }) {
    let name = '';
    const dying = new SegmentShipper({
      ...run.options,
      append: (event: WriterEvent) => {
        name = (event as SegmentStored).segment.start.toString();
        return Promise.reject(killed);
      },
    });
    await expect(dying.ship(rollSegment(at.start, SMALL), null)).rejects.toBe(killed);
    const names = await readdir(run.spoolDir);
    const stem = names.find((one) => one.startsWith(name.padStart(20, '0')));
    return stem!.replace(/\.\w+$/, '');
  }
});

async function changeByte(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.at(at)! ^ 0x40, at < 0 ? bytes.length + at : at);
  await writeFile(path, bytes);
}
