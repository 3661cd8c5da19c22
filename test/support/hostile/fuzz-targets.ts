import { readFileSync } from 'node:fs';
import { AofLogCheck, CommandDecoder, parseManifest } from '@tidemark/aof';
import {
  readSegmentFooter,
  readSnapshotFooter,
  segmentCommands,
  unpackFacts,
  unpackSnapshot,
} from '@tidemark/archive';
import {
  decodeLogEntry,
  decodeWriterEvent,
  encodeLogEntry,
  encodeWriterEvent,
} from '@tidemark/catalog';
import { bytesOf, TidemarkError } from '@tidemark/core';
import { Opener, parseSealedHeader } from '@tidemark/crypto';
import { adaptDumpPayload, RdbChecker, readDumpPayload, rewriteRdb } from '@tidemark/rdb';
import { RespDecoder } from '@tidemark/resp';
import { log } from '../command-log.ts';
import { claimed, LOG, LOG_KEY, opened, released, snapshot, stored } from '../log-events.ts';
import { RDB_VECTORS, RdbBuilder } from '../rdb-builder.ts';
import { VECTOR_KEYS } from '../sealed-vector.ts';
import type { SealedVector } from '../sealed-vector.ts';
import { chunked, footerOf, rangesOf } from '../segments.ts';
import type { Seeded } from './seeded.ts';

/** A decoder that must take any bytes: it reads them or throws a TidemarkError. */
export interface FuzzTarget {
  readonly name: string;
  /** Good inputs, from which damaged ones are made. */
  readonly samples: readonly Buffer[];
  readonly run: (bytes: Buffer, random: Seeded) => Promise<void> | void;
}

const fixture = (path: string): Buffer =>
  readFileSync(new URL(`../../fixtures/${path}`, import.meta.url));

/** Pieces of random sizes. */
function* pieces(bytes: Buffer, random: Seeded): Generator<Buffer> {
  const most = random.pick([1, 7, 100, 4096, 1 << 20]);
  for (let at = 0; at < bytes.length;) {
    const size = 1 + random.below(most);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function drain(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source) continue;
}

const rdbSamples = (['redis', 'valkey'] as const).flatMap((product) => {
  const whole = new RdbBuilder({ product }).aux('redis-ver', '8.0.0').selectDb(0).resizeDb(3, 1);
  whole.function2('#!lua name=x').slotInfo(1, 2, 3);
  for (const { name, type, value } of RDB_VECTORS[product]) whole.entry({ key: name, type, value });
  // Without a checksum, so that what was changed is looked into.
  const singles = RDB_VECTORS[product].map(({ name, type, value }) =>
    new RdbBuilder({ product, checksum: 'zero' })
      .selectDb(1)
      .entry({ key: name, type, value, expiryMs: 1_800_000_000_000 })
      .build(),
  );
  return [whole.build(), ...singles];
});

const dumpSamples = RDB_VECTORS.redis.map(({ type, value }) =>
  Buffer.concat([Buffer.of(type), value, Buffer.of(12, 0), Buffer.alloc(8)]),
);

const logSample = log('SELECT 3', 'MULTI', 'SET user:1 alpha', 'INCR n', 'EXEC', 'DEL user:1');
const stamped = Buffer.concat([
  Buffer.from('#TS:1750000000\r\n'),
  logSample,
  Buffer.from('#XX\r\n'),
]);

const manifest = Buffer.from(
  'file appendonly.aof.4.base.rdb seq 4 type b\n' +
    '# a comment\n' +
    'file "append\\x6fnly.aof.3.incr.aof" seq 3 type h\n' +
    "file 'appendonly.aof.5.incr.aof' seq 5 type i startoffset 2041 endoffset 3000\n",
);

const sealedVectors = (
  JSON.parse(fixture('crypto/sealed-vectors.json').toString()) as { vectors: SealedVector[] }
).vectors.filter(({ error, sealed }) => error === undefined && sealed.length < 20_000);

function openSealed(bytes: Buffer, random: Seeded): void {
  parseSealedHeader(bytes);
  const { kind, identity } = random.pick(sealedVectors);
  const opener = new Opener({
    keyOf: (id) => VECTOR_KEYS.find((key) => key.id === id) ?? VECTOR_KEYS[0],
    kind: kind as never,
    identity,
  });
  for (const piece of pieces(bytes, random)) opener.push(piece);
  opener.end();
}

const events = [claimed(), opened(), stored(1n, 9n), snapshot(9n), released()];
const predecessor = 'ee'.repeat(32);
const entries = events.map(
  (event) =>
    encodeLogEntry({ log: LOG, seq: 5, generation: 2, event, predecessor, logKey: LOG_KEY }).bytes,
);

const segmentHeader = footerOf(fixture('archive/segment-v1-keys.bin')).then(({ header }) => header);

async function readSegment(bytes: Buffer, random: Seeded): Promise<void> {
  if (random.below(2) === 0) {
    await drain(segmentCommands(chunked(bytes, 1000), await segmentHeader));
    return;
  }
  const footer = await readSegmentFooter(rangesOf(bytes), bytes.length);
  await footer.frames();
  await footer.marks();
  await footer.stats();
  await footer.flow();
  await footer.keys();
}

/** All decoders of bytes that come from elsewhere. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'rdb check',
    samples: rdbSamples,
    run: (bytes, random) => {
      const checker = new RdbChecker();
      for (const piece of pieces(bytes, random)) checker.push(piece);
      checker.end();
    },
  },
  {
    name: 'rdb rewrite',
    samples: rdbSamples,
    run: (bytes, random) => {
      const version = random.pick([null, 9, 10, 11, 12, 13, 80]);
      const options = { newExpiry: (expiryMs: number) => expiryMs + 1 };
      const rewriting = version === null ? options : { ...options, version };
      return drain(rewriteRdb(chunked(bytes, random.pick([1, 100, 100_000])), rewriting));
    },
  },
  {
    name: 'dump payload',
    samples: dumpSamples,
    run: (bytes, random) => {
      readDumpPayload(bytes);
      const version = random.pick([9, 10, 12, 80]);
      const product = version === 80 ? 'valkey' : 'redis';
      adaptDumpPayload(bytes, { product, version, newExpiry: () => null });
    },
  },
  {
    name: 'command log',
    samples: [stamped, logSample],
    run: (bytes, random) => {
      const check = new AofLogCheck();
      for (const piece of pieces(bytes, random)) check.push(piece);
      check.end();
      const decoder = new CommandDecoder();
      for (const piece of pieces(bytes, random)) decoder.push(piece);
      decoder.end();
    },
  },
  { name: 'aof manifest', samples: [manifest], run: (bytes) => void parseManifest(bytes) },
  {
    name: 'resp',
    samples: [Buffer.from('*2\r\n$3\r\nfoo\r\n:12\r\n-ERR x\r\n+OK\r\n%1\r\n+a\r\n_\r\n'), stamped],
    run: (bytes, random) => {
      const decoder = new RespDecoder();
      for (const piece of pieces(bytes, random)) {
        decoder.push(piece);
        for (let left = 10_000; left > 0 && decoder.read() !== undefined; left -= 1) continue;
      }
    },
  },
  {
    name: 'sealed container',
    samples: sealedVectors.map(({ sealed }) => Buffer.from(sealed, 'hex')),
    run: openSealed,
  },
  {
    name: 'segment',
    samples: [fixture('archive/segment-v1-keys.bin'), fixture('archive/segment-v1-filter.bin')],
    run: readSegment,
  },
  {
    name: 'snapshot',
    samples: [fixture('archive/snapshot-v1.bin')],
    run: async (bytes) => {
      await drain(unpackSnapshot(bytesOf(bytes)));
      await readSnapshotFooter(rangesOf(bytes), bytes.length);
    },
  },
  {
    name: 'node facts',
    samples: [fixture('archive/facts-v1.bin')],
    run: (bytes) => void unpackFacts(bytes),
  },
  {
    name: 'writer event',
    samples: events.map(encodeWriterEvent),
    run: (bytes) => void decodeWriterEvent(bytes),
  },
  {
    name: 'log entry',
    samples: entries,
    run: (bytes) => {
      const expected = { log: LOG, seq: 5, predecessor, logKey: LOG_KEY, keyProven: true };
      decodeLogEntry(bytes, { ...expected, whole: true });
    },
  },
];

/** Whether an error is one that bad input may end in. */
export const isTyped = (error: unknown): boolean =>
  error instanceof TidemarkError && error.code !== 'TM_INTERNAL';
