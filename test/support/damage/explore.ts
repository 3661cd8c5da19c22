import { mkdtempSync } from 'node:fs';
import { openCatalog } from '@tidemark/catalog';
import { createKeyRing } from '@tidemark/crypto';
import { dryRun, verifyRepo } from '@tidemark/restorer';
import { TidemarkError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { MemoryStore } from '../memory-store.ts';
import { seededRandom, standingClock } from '../crypto-ports.ts';
import { buildTinyArchive, TINY_INSTANCE } from './tiny-archive.ts';

Error.stackTraceLimit = 0;
const STEP = Number(process.argv[2] ?? 1);
const dir = mkdtempSync('/dev/shm/x-');
const random = seededRandom('1');
const clock = standingClock(1_795_000_000_000);
const keys = await createKeyRing({ dir: `${dir}/ring`, random, clock });
const store = new MemoryStore();
const archive = await buildTinyArchive({ store, keys, clock, random });
const signal = new AbortController().signal;
const repo = () => verifyRepo({ store, keys, signal, onProgress: () => undefined });
const sync = async () => {
  const catalog = openCatalog({ path: ':memory:' });
  await catalog.sync({
    store,
    instances: [TINY_INSTANCE],
    logKey: (iid) => keys.logKey(iid),
    signal,
  });
  return catalog;
};
const shared = await sync();
const dry = (catalog) =>
  dryRun(
    {
      instance: TINY_INSTANCE,
      point: { kind: 'second', second: archive.newest },
      ttl: 'absolute',
      target: { kind: 'new', port: 0, dir: null },
      promote: false,
      verify: 'full',
      allowFlush: false,
      feedListen: null,
      feedAdvertise: null,
    },
    {
      store,
      keys,
      catalog,
      clock: systemClock,
      random,
      stateDir: dir,
      signal,
      onProgress: () => undefined,
    },
  );
const stats = new Map();
const note = (key, what, ex) => {
  const k = `${key.replace('v1/instance/tiny/', '')} ${what}`;
  const s = stats.get(k) ?? { n: 0, ex };
  s.n++;
  stats.set(k, s);
};
let n = 0,
  tRepo = 0,
  tDry = 0;
let total = 0;
for (const [key, pristine] of [...store.objects]) {
  total += pristine.length;
  const isLog = /\/log\/|record$/.test(key);
  for (let at = 0; at < pristine.length; at += STEP) {
    const bytes = Buffer.from(pristine);
    bytes[at] ^= 1 << Math.floor(Math.random() * 8);
    store.tamper(key, bytes);
    n++;
    const t0 = performance.now();
    const name = key;
    const r = await repo();
    note(
      key,
      `repo ${r.faultCount} ${r.faults.map((f) => `${f.exitCode} ${f.code} ${f.message.includes(name)}`).join(',')}`,
      `${at} ${r.faults[0]?.message}`,
    );
    const t1 = performance.now();
    try {
      const catalog = isLog ? await sync() : shared;
      const report = await dry(catalog);
      if (isLog) catalog.close();
      note(key, 'dry OK', at);
    } catch (e) {
      if (!(e instanceof TidemarkError)) throw e;
      note(
        key,
        `dry ${e.exitCode} ${e.code} ${e.message.includes(name)} ctx ${Object.values(e.context).includes(name)}`,
        `${at} ${e.message}`,
      );
    }
    tRepo += t1 - t0;
    tDry += performance.now() - t1;
  }
  store.tamper(key, pristine);
}
console.log(total, n, tRepo / n, tDry / n);
for (const [k, s] of stats) console.log(k, s.n, s.ex);
