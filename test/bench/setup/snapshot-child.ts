/* Ships one RDB into a store, as the archiver does, and says how long it took: see `snapshot-ship.ts`. */
import { join } from 'node:path';
import { packSnapshot } from '@tidemark/archive';
import { encodeSpoolNote, fileBytes, putSpooled, readSpooled, Spool } from '@tidemark/archiver';
import type { SnapshotStored } from '@tidemark/catalog';
import { COMPRESSION, OBJECT_KIND, Sealer, sealPieces } from '@tidemark/crypto';
import { passRdb, type RdbSummary } from '@tidemark/rdb';
import { openFileStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';

const [path = '', dir = '', rounds = '1'] = process.argv.slice(2);

const store = await openFileStore({ root: join(dir, 'store'), random: systemRandom });
const spool = await Spool.open(join(dir, 'spool'), 2 ** 40);
const options = {
  ...{ store, spool, clock: systemClock, signal: new AbortController().signal },
  ...{ onRetry: () => undefined, onRecovered: () => undefined },
  dataKeys: { store: () => Promise.resolve() },
  append: () => Promise.resolve(),
};

/** Seals it into the spool, with its note. */
async function seal(name: string, key: string): Promise<number> {
  let seen: RdbSummary | null = null;
  const summary = (): RdbSummary => seen as unknown as RdbSummary;
  const place = { timeline: 'tl_bench', offset: 0n };
  const rdb = passRdb(fileBytes(path)(options.signal), (found) => {
    seen = found;
  });
  const dekId = '0f'.repeat(16);
  const kind = OBJECT_KIND.snapshot;
  const sealer = new Sealer({
    ...{ kind, compression: COMPRESSION.zstd, chunkLog2: 20, random: systemRandom },
    dataKey: { id: dekId, key: systemRandom.bytes(32) },
    identity: { iid: 'bench', timeline: place.timeline, start: '0' },
  });
  await spool.write(name, sealPieces(packSnapshot(rdb, { ...place, summary }), sealer));
  const event: SnapshotStored = {
    ...{ type: 'SnapshotStored', backup: 'bk-bench', ...place, from: 0, mode: 'manual' },
    ...{ startedMs: 0, endedMs: 0, summary: summary(), rdbBytes: summary().bytes },
    object: { key, size: sealer.size, digest: sealer.digest(), dekId, kind },
  };
  await spool.note(name, encodeSpoolNote({ event, wrapped: null }));
  return sealer.size;
}

for (let round = 0; round < Number(rounds); round++) {
  const [name, key] = [`snapshot-${round}`, `v1/round-${round}`];
  const began = performance.now();
  const cpu = process.cpuUsage();
  const bytes = await seal(name, key);
  const entry = await readSpooled(spool, name);
  if (entry === null) throw new Error('the spool did not keep the snapshot');
  await putSpooled(entry, options);
  await spool.remove(name);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if ((await store.head(key))?.size !== bytes) throw new Error('the snapshot was not stored');
  console.log(JSON.stringify({ seconds, bytes, cpuSeconds: (user + system) / 1e6 }));
  await store.delete(key);
}
