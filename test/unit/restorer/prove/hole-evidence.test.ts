import { join } from 'node:path';
import { openCatalog, type Catalog, type TailCursorJson, type WriterLog } from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findObstacle } from '../../../../services/restorer/src/prove/hole-evidence.ts';
import { openHoles } from '../../../../services/restorer/src/prove/prove-holes.ts';
import type { RestoreEnvironment } from '../../../../services/restorer/src/run/environment.ts';
import { openTestInstance, syncTest } from '../../../support/catalog-harness.ts';
import { seededRandom, standingClock } from '../../../support/crypto-ports.ts';
import {
  closed,
  LOG,
  opened,
  proven,
  snapshot,
  START_MS,
  stored,
} from '../../../support/log-events.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const WHOLE = { db: 0, inMulti: false, partialBytes: 0 };
const UNSEEN = 'appendonly.aof.4.incr.aof came unseen';

const inFile = (seq: number): TailCursorJson => ({
  file: `appendonly.aof.${seq.toString()}.incr.aof`,
  ...{ seq, dev: '1', ino: seq.toString(), position: 10 },
  ...{ digest: '', digestBytes: 0 },
});

describe('findObstacle()', () => {
  let dir: TempDir;
  let store: MemoryStore;
  let log: WriterLog;
  let catalog: Catalog;
  beforeEach(async () => {
    dir = await TempDir.create();
    store = new MemoryStore();
    log = await openTestInstance(store);
    catalog = openCatalog({ path: join(dir.path, 'catalog.db') });
    await log.append(opened());
    await log.append(snapshot(0n));
  });
  afterEach(async () => {
    catalog.close();
    await dir[Symbol.asyncDispose]();
  });

  /** The first timeline ends as said; the second begins with a segment that ends in a file. */
  async function turn(detail: string, nextSeq: number | null): Promise<void> {
    const end = log.state.timeline?.end ?? 0n;
    await log.append(closed(end, { reason: 'rewrite-unobserved', detail }));
    await log.append(opened({ timeline: 't2', previous: 't1', reason: 'rewrite-unobserved' }));
    await log.append(snapshot(0n, { timeline: 't2', backup: 'bk_2' }));
    if (nextSeq === null) return;
    const segment = { timeline: 't2' };
    await log.append(stored(0n, 5n, { segment, cursor: inFile(nextSeq) }));
  }

  async function obstacle(): Promise<string | null> {
    await syncTest(catalog, store);
    const [ends] = openHoles(catalog, LOG.iid);
    if (ends === undefined) throw new Error('no hole');
    const environment: RestoreEnvironment = {
      ...{ store, keys: new MemoryKeys(), catalog, clock: standingClock(START_MS) },
      ...{ random: seededRandom('prove'), stateDir: dir.path },
      ...{ signal: new AbortController().signal, original: null, onProgress: () => undefined },
    };
    return findObstacle(ends, environment);
  }

  it('finds none when the old file was read to its end and the next one follows', async () => {
    await log.append(stored(0n, 8n, { cursor: inFile(2), after: { ...WHOLE, db: 1 } }));
    await log.append(stored(8n, 10n, { cursor: inFile(3), segment: { db: 1 } }));
    await turn(UNSEEN, 4);
    expect(await obstacle()).toBeNull();
  });

  it.each([
    ['the old file was gone', 'appendonly.aof.3.incr.aof is gone', 4, WHOLE, /not captured to the/],
    ['a file lies between', UNSEEN, 5, WHOLE, /begins in file 5, the old one ends in file 3/],
    ['file numbers began anew', UNSEEN, 1, WHOLE, /begins in file 1/],
    ['nothing was written since', UNSEEN, null, WHOLE, /nothing was written since/],
    ['a command was cut', UNSEEN, 4, { ...WHOLE, partialBytes: 3 }, /within a command/],
    ['a transaction was cut', UNSEEN, 4, { ...WHOLE, inMulti: true }, /within a command/],
  ])('names it when %s', async (_, detail, nextSeq, after, reason) => {
    await log.append(stored(0n, 10n, { cursor: inFile(3), after }));
    await turn(detail, nextSeq);
    expect(await obstacle()).toMatch(reason);
  });

  it('names it when nothing of the old log was stored, or its files are not known', async () => {
    await turn(UNSEEN, 4);
    expect(await obstacle()).toMatch(/nothing of the old log is stored/);
  });

  it('does not go by numbers that are not known', async () => {
    await log.append(stored(0n, 10n));
    await turn(UNSEEN, 4);
    expect(await obstacle()).toMatch(/files of the logs are not known/);
  });

  it.each(['appendonly.aof', 'appendonly.aof.4.base.aof'])(
    'does not go by numbers that are not of the server: %s',
    async (file) => {
      await log.append(stored(0n, 10n, { cursor: { ...inFile(3), file } }));
      await turn(UNSEEN, null);
      const cursor = { ...inFile(4), file };
      await log.append(stored(0n, 5n, { segment: { timeline: 't2' }, cursor }));
      expect(await obstacle()).toMatch(/has no number of the server/);
    },
  );

  it('is asked of holes only that are not proven yet', async () => {
    await log.append(stored(0n, 10n, { cursor: inFile(3) }));
    await turn(UNSEEN, 4);
    await log.append(proven());
    await syncTest(catalog, store);
    expect(openHoles(catalog, LOG.iid)).toEqual([]);
  });
});
