/* Ships one RDB into a store, as the archiver does, and says how long it took: see `snapshot-ship.ts`. */
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { packSnapshot } from '@tidemark/archive';
import type { ByteSource } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, Sealer, sealStream } from '@tidemark/crypto';
import { passRdb, type RdbSummary } from '@tidemark/rdb';
import { openFileStore } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';

const CHUNK_BYTES = 1024 * 1024;
const [rdb = '', dir = '', rounds = '1'] = process.argv.slice(2);

async function writeSpool(path: string, sealed: ByteSource): Promise<void> {
  await using file = await open(path, 'w', 0o600);
  for await (const part of sealed) await file.write(part);
}

const store = await openFileStore({ root: join(dir, 'store'), random: systemRandom });
const spool = join(dir, 'spool');
for (let round = 0; round < Number(rounds); round++) {
  const began = performance.now();
  let summary: RdbSummary | null = null;
  const checked = passRdb(createReadStream(rdb, { highWaterMark: CHUNK_BYTES }), (seen) => {
    summary = seen;
  });
  const packed = packSnapshot(checked, {
    timeline: 'tl_bench',
    offset: 0n,
    summary: () => summary as unknown as RdbSummary,
  });
  const sealer = new Sealer({
    dataKey: { id: '0f'.repeat(16), key: systemRandom.bytes(32) },
    kind: OBJECT_KIND.snapshot,
    compression: COMPRESSION.zstd,
    chunkLog2: 20,
    identity: { iid: 'bench', timeline: 'tl_bench', start: '0' },
    random: systemRandom,
  });
  await writeSpool(spool, sealStream(packed, sealer));
  const outcome = await store.putIfAbsent(
    `v1/round-${round}`,
    createReadStream(spool, { highWaterMark: CHUNK_BYTES }),
  );
  const seconds = (performance.now() - began) / 1000;
  if (outcome !== 'created') throw new Error('the snapshot was not stored');
  console.log(JSON.stringify({ seconds, bytes: sealer.size }));
  await store.delete(`v1/round-${round}`);
  await rm(spool);
}
