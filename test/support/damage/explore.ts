import { mkdtempSync } from 'node:fs';
import { openCatalog } from '@tidemark/catalog';
import { createKeyRing } from '@tidemark/crypto';
import { dryRun, verifyRepo } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { MemoryStore } from '../memory-store.ts';
import { seededRandom, standingClock } from '../crypto-ports.ts';
import { buildTinyArchive, TINY_INSTANCE } from './tiny-archive.ts';

const dir = mkdtempSync('/dev/shm/x-');
const random = seededRandom('1');
const clock = standingClock(1_795_000_000_000);
const keys = await createKeyRing({ dir: `${dir}/ring`, random, clock });
const store = new MemoryStore();
const archive = await buildTinyArchive({ store, keys, clock, random });
let total = 0;
for (const [key, bytes] of store.objects) { console.log(key, bytes.length); total += bytes.length; }
console.log(total, archive);
const signal = new AbortController().signal;
const t0 = performance.now();
for (let i = 0; i < 1500; i++) {
  const r = await verifyRepo({ store, keys, signal, onProgress: () => undefined });
  if (i === 0) console.log(r);
}
console.log('verifyRepo', (performance.now() - t0) / 1500);
const t1 = performance.now();
const path = ':memory:';
for (let i = 0; i < 1500; i++) {
  using catalog = openCatalog({ path });
  await catalog.sync({ store, instances: [TINY_INSTANCE], logKey: (iid) => keys.logKey(iid), signal });
}
console.log('sync', (performance.now() - t1) / 1500);
const t2 = performance.now();
for (let i = 0; i < 1500; i++) {
  using catalog = openCatalog({ path });
  await catalog.sync({ store, instances: [TINY_INSTANCE], logKey: (iid) => keys.logKey(iid), signal });
  const report = await dryRun({
    instance: TINY_INSTANCE, point: { kind: 'second', second: archive.newest }, ttl: 'absolute', target: { kind: 'new', port: 0, dir: null },
    promote: false, verify: 'full', allowFlush: false, feedListen: null, feedAdvertise: null,
  }, { store, keys, catalog, clock: systemClock, random, stateDir: dir, signal, onProgress: () => undefined });
  if (i === 0) console.log(report);
}
console.log('sync+dry', (performance.now() - t2) / 1500);
